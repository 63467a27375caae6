"""What is deployed says what the code has: settings, versions, routes, files."""

from __future__ import annotations

import fnmatch
import json
import re
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from deploy.install_lines import instructions
from hangtag.bundle import Bundle
from serve.settings import DEFAULT_BUNDLE, Settings, read_settings

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
COMPOSE = yaml.safe_load((ROOT / "compose.yaml").read_text(encoding="utf-8"))
DOCKERFILE = list(instructions((ROOT / "Dockerfile.gpu").read_text(encoding="utf-8")))
KUBERNETES = {
    (each["kind"], each["metadata"]["name"]): each
    for file in sorted((ROOT / "deploy" / "kubernetes").glob("*.yaml"))
    for each in yaml.safe_load_all(file.read_text(encoding="utf-8"))
}
IMAGE_VARIABLES = dict(re.findall(r"(HANGTAG_\w+)=(\S+)", " ".join(given for name, given in DOCKERFILE if name == "ENV")))


def container(kind: str, name: str) -> dict[str, Any]:
    (found,) = KUBERNETES[kind, name]["spec"]["template"]["spec"]["containers"]
    return found


def variables(found: dict[str, Any]) -> dict[str, str]:
    """Of a container; what a Secret holds stands for itself."""
    return {each["name"]: each.get("value", f"the {each['name']} of a Secret") for each in found["env"]}


def filled(text: str) -> str:
    """As compose fills in what .env says."""
    return re.sub(r"\$\{\w+:\?[^}]*\}", "secret", text)


def test_versions_are_the_projects() -> None:
    image = f"hangtag-gpu:{PROJECT['project']['version']}"
    services = [service for service in COMPOSE["services"].values() if "build" in service]
    assert {service["image"] for service in services} == {image}
    for kind, name in (("Deployment", "gateway"), ("StatefulSet", "vllm")):
        pod = KUBERNETES[kind, name]["spec"]["template"]["spec"]
        assert {each["image"] for each in (*pod["containers"], *pod.get("initContainers", ()))} == {image}
    assert PROJECT["project"]["optional-dependencies"]["vllm"] == [
        dict(a.split("=", 1) for n, a in DOCKERFILE if n == "ARG")["VLLM"]
    ]


def test_every_dependency_of_the_image_is_pinned() -> None:
    def names(lines: list[str]) -> set[str]:
        return {re.sub(r"[-_.]+", "-", re.split(r"[<>=\[; ]", line)[0]).lower() for line in lines if line and line[0] != "#"}

    extras = re.findall(r"\.\[([\w,]+)\]", " ".join(given for _, given in DOCKERFILE))[0].split(",")
    wanted = [
        *PROJECT["project"]["dependencies"],
        *(each for e in extras for each in PROJECT["project"]["optional-dependencies"][e]),
    ]
    for file in ("constraints-gpu.txt", "constraints-vllm.txt"):
        pins = (ROOT / file).read_text(encoding="utf-8").splitlines()
        assert all("==" in pin for pin in pins if pin and pin[0] != "#")
        assert names(wanted) <= names(pins), file


@pytest.mark.parametrize("where", ["compose", "kubernetes"])
def test_the_gateways_settings_are_settings(where: str, monkeypatch: pytest.MonkeyPatch) -> None:
    given = COMPOSE["services"]["gateway"]["environment"] if where == "compose" else variables(container("Deployment", "gateway"))
    for name, value in {**IMAGE_VARIABLES, **given}.items():
        if name.startswith("HANGTAG_"):
            monkeypatch.setenv(name, filled(value))
    settings = read_settings()
    assert (settings.engine, settings.host, settings.port, settings.log_format) == ("remote", "0.0.0.0", 8000, "json")
    assert settings.keys is not None, "an open host needs keys"
    assert settings.user_key is not None
    assert settings.server_key is not None
    assert settings.servers is not None


def test_the_gateway_asks_the_servers_that_there_are() -> None:
    servers = variables(container("Deployment", "gateway"))["HANGTAG_SERVERS"].split(",")
    spec = KUBERNETES["StatefulSet", "vllm"]["spec"]
    assert servers == [f"http://vllm-{number}.{spec['serviceName']}:8000" for number in range(spec["replicas"])]
    assert COMPOSE["services"]["gateway"]["environment"]["HANGTAG_SERVERS"] == "http://vllm:8000"


def test_vllm_is_started_as_hangtag_needs_it() -> None:
    flags = COMPOSE["services"]["vllm"]["command"]
    assert flags == container("StatefulSet", "vllm")["args"]
    model, *others = flags
    options = dict(each.removeprefix("--").partition("=")[::2] for each in others)
    bundle = Bundle.load(DEFAULT_BUNDLE)
    assert bundle.base is not None
    assert bundle.adapter is not None
    assert Path(model).relative_to("/app") == bundle.base.relative_to(ROOT)
    assert IMAGE_VARIABLES["HANGTAG_BUNDLE"] == f"/app/{bundle.directory.relative_to(ROOT)}"
    assert int(options["max-model-len"]) == bundle.context
    assert int(options["max-lora-rank"]) >= json.loads((bundle.adapter / "adapter_config.json").read_text(encoding="utf-8"))["r"]
    assert options["logits-processors"] == PROJECT["project"]["entry-points"]["vllm.logits_processors"]["hangtag"]
    assert options["logprobs-mode"] == "processed_logprobs"


def test_nobody_but_the_gateway_reaches_vllm_and_the_database() -> None:
    services = COMPOSE["services"]
    assert [name for name, service in services.items() if "ports" in service] == ["gateway"]
    assert all(port.startswith("127.0.0.1:") for port in services["gateway"]["ports"])
    for name in ("vllm", "postgres"):
        assert all(COMPOSE["networks"][network]["internal"] for network in services[name]["networks"])
    policy = KUBERNETES["NetworkPolicy", "vllm"]["spec"]
    pod = KUBERNETES["StatefulSet", "vllm"]["spec"]["template"]["metadata"]["labels"]
    gateway = KUBERNETES["Deployment", "gateway"]["spec"]["template"]["metadata"]["labels"]
    assert policy["podSelector"]["matchLabels"] == pod
    assert [rule["podSelector"]["matchLabels"] for rule in policy["ingress"][0]["from"]] == [gateway]


def test_nothing_runs_as_root_but_what_fills_a_new_volume() -> None:
    users = [given for name, given in DOCKERFILE if name == "USER"]
    assert users
    assert users[-1].isdigit()
    assert int(users[-1]) > 0
    for kind, name in (("Deployment", "gateway"), ("StatefulSet", "vllm")):
        pod = KUBERNETES[kind, name]["spec"]["template"]["spec"]
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["securityContext"]["runAsUser"] == int(users[-1])
        for each in (*pod["containers"], *pod.get("initContainers", ())):
            assert each["securityContext"]["readOnlyRootFilesystem"] is True
            assert each["securityContext"]["allowPrivilegeEscalation"] is False


def test_probes_ask_for_what_is_there() -> None:
    from serve.routes import health

    routes = {route.path for route in health.router.routes}
    gateway = container("Deployment", "gateway")
    assert {gateway[probe]["httpGet"]["path"] for probe in ("startupProbe", "readinessProbe", "livenessProbe")} <= routes
    assert any("/healthz" in given for name, given in DOCKERFILE if name == "HEALTHCHECK")
    deadline = Settings.model_fields["deadline"].default
    assert KUBERNETES["Deployment", "gateway"]["spec"]["template"]["spec"]["terminationGracePeriodSeconds"] > deadline
    assert int(COMPOSE["services"]["gateway"]["stop_grace_period"].removesuffix("s")) > deadline


def test_the_example_environment_has_what_compose_asks_for() -> None:
    example = (ROOT / "deploy" / "example.env").read_text(encoding="utf-8")
    wanted = set(re.findall(r"\$\{(\w+):\?", (ROOT / "compose.yaml").read_text(encoding="utf-8")))
    assert set(re.findall(r"(?m)^(\w+)=$", example)) == wanted


def test_every_file_of_a_package_is_installed() -> None:
    packages = ("hangtag", "prompts", "serve", "eval", "finetune", "cli")
    assert all(("COPY", f"{package} {package}") in DOCKERFILE for package in packages)
    data = PROJECT["tool"]["setuptools"]["package-data"]
    listed = subprocess.run(["git", "ls-files", *packages], capture_output=True, text=True, check=True, cwd=ROOT).stdout
    for file in map(Path, listed.splitlines()):
        if file.suffix == ".py":
            assert (ROOT / file.parent / "__init__.py").exists(), f"{file.parent} is no package"
        else:
            assert any(fnmatch.fnmatch(str(file.relative_to(file.parts[0])), pattern) for pattern in data[file.parts[0]]), file
