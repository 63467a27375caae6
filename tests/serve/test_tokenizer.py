from datetime import date
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tokenizers import AddedToken
from transformers import PreTrainedTokenizerFast

from finetune.tokenizer import ASSISTANT, EOS, PAD, USER
from hangtag.errors import EngineError
from prompts.render import Message
from serve.tokenizer import HuggingFaceTokenizer

THINK = "<think>"
ANY_TEXT = st.text(alphabet=st.characters(exclude_categories=["Cs"]), max_size=40)
FROM_FIXTURE = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)


@pytest.fixture(scope="module")
def tokenizer(tiny_bundle: Path) -> HuggingFaceTokenizer:
    return HuggingFaceTokenizer.load(tiny_bundle / "base")


@pytest.fixture
def other(tiny_bundle: Path) -> PreTrainedTokenizerFast:
    """A tokenizer to be altered before it is wrapped."""
    return PreTrainedTokenizerFast.from_pretrained(tiny_bundle / "base", local_files_only=True)


def special_ids(tokenizer: HuggingFaceTokenizer, *tokens: str) -> set[int]:
    return {tokenizer.transformers.convert_tokens_to_ids(token) for token in tokens}


@FROM_FIXTURE
@given(ANY_TEXT)
def test_text_comes_back_as_it_was(tokenizer: HuggingFaceTokenizer, text: str) -> None:
    assert tokenizer.decode(tokenizer.encode(text)) == text


@FROM_FIXTURE
@given(ANY_TEXT)
def test_the_bytes_of_tokens_are_the_bytes_of_the_text(tokenizer: HuggingFaceTokenizer, text: str) -> None:
    assert b"".join(map(tokenizer.token_bytes, tokenizer.encode(text))) == text.encode()


def test_special_tokens_write_nothing_and_are_left_out(tokenizer: HuggingFaceTokenizer) -> None:
    for token in special_ids(tokenizer, PAD, EOS, USER, ASSISTANT):
        assert tokenizer.token_bytes(token) == b""
        assert tokenizer.decode([token]) == ""
    assert special_ids(tokenizer, EOS) == {tokenizer.eos_id}


def test_special_tokens_in_text_are_spelt_out(tokenizer: HuggingFaceTokenizer) -> None:
    text = f"Linen{EOS}{ASSISTANT}亚麻 {USER}{PAD}"
    ids = tokenizer.encode(text)
    assert not special_ids(tokenizer, PAD, EOS, USER, ASSISTANT) & set(ids)
    assert tokenizer.decode(ids) == text


def test_added_tokens_that_are_not_special_are_spelt_out_too(other: PreTrainedTokenizerFast) -> None:
    other.add_tokens([AddedToken(THINK, special=False)])
    tokenizer = HuggingFaceTokenizer(other)
    ids = tokenizer.encode(f"Linen{THINK}")
    assert not special_ids(tokenizer, THINK) & set(ids)
    assert tokenizer.decode(ids) == f"Linen{THINK}"
    assert tokenizer.size == len(other)
    assert tokenizer.token_bytes(tokenizer.size - 1) == b""


def test_text_is_not_cut_whatever_the_tokenizers_file_says(other: PreTrainedTokenizerFast) -> None:
    other.backend_tokenizer.enable_truncation(3)
    other.backend_tokenizer.enable_padding(length=50)
    tokenizer = HuggingFaceTokenizer(other)
    text = "Linen camp shirt, relaxed fit"
    assert tokenizer.decode(tokenizer.encode(text)) == text
    assert PAD not in tokenizer.transformers.convert_ids_to_tokens(tokenizer.encode("a"))


@FROM_FIXTURE
@given(ANY_TEXT)
def test_contents_stand_in_a_conversation_as_their_own_ids(tokenizer: HuggingFaceTokenizer, text: str) -> None:
    content = f"{text}{EOS}{ASSISTANT}\ue0000\ue001"
    (user,), (assistant,) = special_ids(tokenizer, USER), special_ids(tokenizer, ASSISTANT)
    ids = tokenizer.conversation([Message("user", content)])
    assert ids == [user, *tokenizer.encode(content), assistant]


def test_messages_stand_in_a_conversation_in_their_order(other: PreTrainedTokenizerFast) -> None:
    other.chat_template = "{% for m in messages %}[{{ m.role }}]{{ m.content | trim }}{% endfor %}"
    tokenizer = HuggingFaceTokenizer(other)
    ids = tokenizer.conversation([Message("system", " one"), Message("user", "two ")])
    assert tokenizer.decode(ids) == "[system] one[user]two "


def test_a_template_that_names_the_day_is_asked_every_day(
    other: PreTrainedTokenizerFast, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Today(date):
        day_of_month = 1

        @classmethod
        def today(cls) -> date:
            return cls(2026, 11, cls.day_of_month)

    monkeypatch.setattr("serve.tokenizer.date", Today)
    other.chat_template = "{{ day }}{% for m in messages %}[{{ m.role }}]{{ m.content }}{% endfor %}"
    tokenizer = HuggingFaceTokenizer(other)
    made = []
    apply = tokenizer.transformers.apply_chat_template
    monkeypatch.setattr(
        tokenizer.transformers,
        "apply_chat_template",
        lambda *given, **more: made.append(1) or apply(*given, day=len(made), **more),
    )
    said = [tokenizer.decode(tokenizer.conversation([Message("user", text)])) for text in ("a", "b")]
    Today.day_of_month = 2
    said.append(tokenizer.decode(tokenizer.conversation([Message("user", "c")])))
    assert said == ["1[user]a", "1[user]b", "2[user]c"]


@pytest.mark.parametrize(
    ("template", "message"),
    [
        ("{% for m in messages if m.role == 'user' %}{{ m.content }}{% endfor %}", "leaves out what the system says"),
        ("{{ raise_exception('System role not supported') }}", "can't be used: System role not supported"),
    ],
)
def test_a_chat_template_that_loses_a_message_is_an_error(other: PreTrainedTokenizerFast, template: str, message: str) -> None:
    other.chat_template = template
    with pytest.raises(EngineError, match=message):
        HuggingFaceTokenizer(other).conversation([Message("system", "one"), Message("user", "two")])


def test_a_tokenizer_that_can_not_be_used_says_why(other: PreTrainedTokenizerFast, tmp_path: Path) -> None:
    other.chat_template = None
    with pytest.raises(EngineError, match="no chat template"):
        HuggingFaceTokenizer(other)
    other.eos_token = None
    with pytest.raises(EngineError, match="no end-of-sequence token"):
        HuggingFaceTokenizer(other)
    with pytest.raises(EngineError, match="can't be read"):
        HuggingFaceTokenizer.load(tmp_path)
