import asyncio
import json
import re
from pathlib import Path

import pytest

from hangtag.suggestion import readable
from serve.app import create_app
from serve.auth import Doorkeeper
from serve.keys import KeyFile, add_key
from serve.routes.page import TYPES, WEB
from serve.state import Services
from tests.browser import CHROMIUM, browsing
from tests.serve.asking import asking, served
from tests.tiny import suggester_with
from tests.walking import WalkingEngine


def test_the_page_comes_with_all_its_parts_and_may_load_nothing_else(tiny_bundle: Path) -> None:
    async def scene() -> None:
        async with asking(Services(suggester_with(WalkingEngine(), tiny_bundle))) as client:
            page = await client.get("/")
            assert page.headers["content-type"] == "text/html; charset=utf-8"
            named = set(re.findall(r'(?:href|src)="([^"]+)"', page.text)) - {"docs"}
            assert named == {"web/icon.svg", "web/style.css", "web/page.js"}
            for name, kind in TYPES.items():
                part = await client.get(f"/web/{name}")
                assert (part.status_code, part.headers["content-type"]) == (200, kind)
                policy = part.headers["content-security-policy"]
                assert "default-src 'none'" in policy
                assert "unsafe" not in policy
                assert part.headers["x-content-type-options"] == "nosniff"
            for name in ("none.js", "..%2Fapp.py", "../app.py", "%2e%2e/app.py", "__init__.py", ""):
                assert (await client.get(f"/web/{name}")).status_code == 404
            assert "/web/{name}" not in (await client.get("/openapi.json")).text

    asyncio.run(scene())


def test_nothing_is_inline_and_nothing_becomes_markup() -> None:
    assert {path.name for path in WEB.iterdir()} == set(TYPES)
    page, script = ((WEB / name).read_text(encoding="utf-8") for name in ("index.html", "page.js"))
    assert not re.search(r"<style|style=|\son\w+=|<script(?![^>]*src=)|https?://", page)
    assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(|https?://", script)


def test_the_page_says_everything_in_both_languages() -> None:
    page, script, words = ((WEB / name).read_text(encoding="utf-8") for name in ("index.html", "page.js", "words.js"))
    english, chinese = words.split("  zh: {")
    names = [re.findall(r"^    (\w+):", half, re.M) for half in (english, chinese)]
    assert names[0] == names[1]
    said = {*re.findall(r'data-say="(\w+)"', page), *re.findall(r'say\([^)]*?"(\w+)"', script), "wrongKey", "needsKey", "name"}
    assert said == set(names[0])


@pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium")
def test_a_browser_shows_tags_reason_and_what_is_wrong(tiny_bundle: Path, tmp_path: Path) -> None:
    _, secret = add_key(tmp_path / "keys.json", "acme")
    engine = WalkingEngine()
    services = Services(suggester_with(engine, tiny_bundle), door=Doorkeeper(KeyFile(tmp_path / "keys.json")))
    with served(create_app(services)) as (_, address), browsing(tmp_path / "profile") as browser:
        browser.open(address + "/")
        browser.wait("!document.getElementById('keys').hidden")
        browser.see(ASK.format(key=json.dumps("ht_wrong")))
        browser.wait("document.getElementById('problem').textContent.includes('not known')")

        browser.complaints.clear()
        browser.see(ASK.format(key=json.dumps(secret)))
        browser.wait("document.getElementById('facts').textContent.includes('tiny@1')")
        answer = services.suggester.codec("en").read(asyncio.run(engine.generate(engine.requests[-1])).ids)
        labels = [services.suggester.vocabulary.tags[tag].labels["en"] for tag in answer.tags]
        assert browser.see("[...document.querySelectorAll('#tags .label')].map((e) => e.textContent)") == labels
        assert browser.see("document.getElementById('explanation').textContent") == readable(answer.explanation, "en")
        assert browser.see("document.querySelectorAll('main img, main script').length") == 0

        browser.see("document.getElementById('language').click()")
        assert browser.see("document.getElementById('ask').textContent") == "推荐标签"
        assert browser.see("document.documentElement.lang") == "zh"
        assert browser.complaints == []

        engine.fails_after = 0
        browser.see("document.getElementById('listing').requestSubmit()")
        browser.wait("document.getElementById('problem').textContent.includes('out of memory')")


ASK = """
document.getElementById("key").value = {key};
document.getElementById("text").value = "Linen <img src=x onerror=alert(1)> shirt\\nfor hot days";
document.getElementById("listing").requestSubmit();
"""
