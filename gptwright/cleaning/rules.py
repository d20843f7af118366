"""The rules that one document is judged by alone: language, quality, contamination. Most are datatrove's blocks.

A rule is a function of a datatrove document that says why it must go, as "gopher_quality/short_doc", or None when it
stays; it may change the text.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from gptwright.cleaning.contamination import Contamination
from gptwright.cleaning.settings import (
    C4Rules,
    CleaningSettings,
    FinewebQuality,
    GopherQuality,
    GopherRepetition,
    LanguageRule,
)
from gptwright.cleaning.tally import Tally

Rule = Callable[[Any], str | None]


def rules_for(
    settings: CleaningSettings, *, prose: bool, contamination: Contamination | None, tally: Tally
) -> dict[str, Rule]:
    """The rules by name, in FineWeb's order, contamination first since it is cheap and concerns every source."""
    rules: dict[str, Rule] = {}
    if contamination:
        rules["contamination"] = contamination_rule(contamination)
    if prose:
        if settings.language:
            rules["language"] = language_rule(settings.language)
        if settings.gopher_repetition:
            rules["gopher_repetition"] = gopher_repetition_rule(settings.gopher_repetition)
        if settings.gopher_quality:
            rules["gopher_quality"] = gopher_quality_rule(settings.gopher_quality)
        if settings.c4:
            rules["c4"] = c4_rule(settings.c4, tally)
        if settings.fineweb:
            rules["fineweb"] = fineweb_rule(settings.fineweb)
    return rules


def contamination_rule(contamination: Contamination) -> Rule:
    def judge(document: Any) -> str | None:
        found = contamination.find(document.text)
        if found is None:
            return None
        document.metadata["example"] = {"found": found.words}
        return f"contamination/{found.origin}"

    return judge


def language_rule(settings: LanguageRule) -> Rule:
    """By py3langid's own model, since datatrove's LanguageFilter downloads one."""
    from py3langid.langid import MODEL_FILE, LanguageIdentifier  # noqa: PLC0415

    identifier = LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)

    def judge(document: Any) -> str | None:
        start = max(0, (len(document.text) - settings.characters) // 2)
        language, probability = identifier.classify(document.text[start : start + settings.characters])
        if language not in settings.keep:
            return f"language/{language}"
        return "language/uncertain" if probability < settings.threshold else None

    return judge


def _block_rule(name: str, block: Any, prefix: str = "") -> Rule:
    """A datatrove filter, whose `filter` gives True, or False with a reason."""

    def judge(document: Any) -> str | None:
        result = block.filter(document)
        if result is True:
            return None
        return f"{name}/{result[1].removeprefix(prefix)}"

    return judge


def gopher_repetition_rule(settings: GopherRepetition) -> Rule:
    from datatrove.pipeline.filters import GopherRepetitionFilter  # noqa: PLC0415

    from gptwright.cleaning.words import WORDS  # noqa: PLC0415

    block = GopherRepetitionFilter(
        dup_line_frac=settings.duplicate_lines,
        dup_para_frac=settings.duplicate_lines,
        dup_line_char_frac=settings.duplicate_line_characters,
        dup_para_char_frac=settings.duplicate_line_characters,
        top_n_grams=settings.top_n_grams,
        dup_n_grams=settings.duplicate_n_grams,
        language=WORDS,
    )
    return _block_rule("gopher_repetition", block)


def gopher_quality_rule(settings: GopherQuality) -> Rule:
    from datatrove.pipeline.filters import GopherQualityFilter  # noqa: PLC0415

    from gptwright.cleaning.words import WORDS  # noqa: PLC0415

    block = GopherQualityFilter(
        min_doc_words=settings.min_words,
        max_doc_words=settings.max_words,
        min_avg_word_length=settings.min_word_length,
        max_avg_word_length=settings.max_word_length,
        max_symbol_word_ratio=settings.max_symbols,
        max_bullet_lines_ratio=settings.max_bullet_lines,
        max_ellipsis_lines_ratio=settings.max_ellipsis_lines,
        max_non_alpha_words_ratio=None,
        min_stop_words=settings.min_stop_words,
        language=WORDS,
    )
    rule = _block_rule("gopher_quality", block, "gopher_")

    def judge(document: Any) -> str | None:
        reason = rule(document)
        if reason:
            return reason
        # The block counts each punctuation mark as a word without letters, and so removes one good page in ten.
        words = document.text.split()
        alphabetic = sum(any(map(str.isalpha, word)) for word in words)
        return (
            "gopher_quality/below_alpha_threshold" if alphabetic < settings.min_alphabetic_words * len(words) else None
        )

    return judge


def fineweb_rule(settings: FinewebQuality) -> Rule:
    from datatrove.pipeline.filters import FineWebQualityFilter  # noqa: PLC0415

    from gptwright.cleaning.words import WORDS  # noqa: PLC0415

    block = FineWebQualityFilter(
        line_punct_thr=settings.min_punctuated_lines,
        short_line_thr=settings.max_short_lines,
        char_duplicates_ratio=settings.max_duplicate_characters,
        new_line_ratio=settings.max_newlines_per_word,
        language=WORDS,
    )
    return _block_rule("fineweb", block)


def c4_rule(settings: C4Rules, tally: Tally) -> Rule:
    """datatrove's C4QualityFilter, with the lines that it keeps put back where they stood.

    The block joins them without the blank ones between them and without indentation, which runs all paragraphs
    together. And it tells only how many lines went for which reason, so a line's reason is known where there was but
    one.
    """
    from datatrove.pipeline.filters import C4QualityFilter  # noqa: PLC0415
    from datatrove.pipeline.filters.c4_filters import CITATION_REGEX  # noqa: PLC0415

    from gptwright.cleaning.words import WORDS  # noqa: PLC0415

    block = C4QualityFilter(
        filter_no_terminal_punct=settings.terminal_punctuation,
        min_num_sentences=settings.min_sentences or -1,
        min_words_per_line=settings.min_words_per_line or -1,
        filter_curly_bracket=settings.curly_bracket,
        filter_javascript=settings.javascript,
        filter_policy=settings.policy,
        language=WORDS,
    )
    rule = _block_rule("c4", block)

    def judge(document: Any) -> str | None:
        text = document.text
        before = _line_counts(block)
        reason = rule(document)
        # A citation that went leaves its blank, or a blank line.
        kept, document.text = [kept for line in document.text.splitlines() if (kept := line.strip())], text
        if reason:
            return reason
        lines = [CITATION_REGEX.sub("", line.rstrip()) for line in text.splitlines()]
        put_back, dropped = _put_back(lines, kept)
        if dropped:
            only_blank = all(len(line.split()) >= settings.min_words_per_line for line in dropped)
            went = [
                name
                for name, count in _line_counts(block).items()
                # Where every line that went has words enough, those with too few were the blank ones.
                if count > before.get(name, 0) and not (only_blank and name == "too_few_words")
            ]
            told = f"c4/line_{went[0]}" if len(went) == 1 else "c4/line_several_reasons"
            tally.trimmed[told].add(sum(map(len, dropped)), len(dropped))
            tally.show(told, document.id, "\n".join(dropped))
        if dropped or any(CITATION_REGEX.search(line) for line in text.splitlines()):
            document.text = put_back
        return None

    return judge


def _line_counts(block: Any) -> dict[str, int]:
    prefix = "line-filter-"
    return {key.removeprefix(prefix): block.stats[key].total for key in list(block.stats.stats) if prefix in key}


def _put_back(lines: list[str], kept: list[str]) -> tuple[str, list[str]]:
    """(text, dropped lines): the kept lines as they stood, one blank line where there were some before."""
    text: list[str] = []
    dropped = []
    blank = False
    following = iter(kept)
    wanted = next(following, None)
    for line in lines:
        if not line.strip():
            blank = True
        # Equal lines share their fate, so the first that matches is the one that was kept.
        elif line.strip() == wanted:
            text += ["", line] if blank and text else [line]
            blank = False
            wanted = next(following, None)
        else:
            dropped.append(line)
    return "\n".join(text), dropped
