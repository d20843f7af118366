"""Words and sentences for datatrove's blocks, in place of spaCy's. Needs the extra `data`.

spaCy takes nine tenths of the time of the quality rules and of MinHash. On 320 web pages these words give the rules the
same verdict on all but one; and a Chinese sentence is one word to spaCy's English tokenizer, but not here.

Import it only where something is cleaned: it loads datatrove.
"""

from __future__ import annotations

import itertools
import re

from datatrove.utils.word_tokenizers import WordTokenizer

# Japanese, Chinese and Korean, which set no spaces between words: each character counts as one.
_NO_SPACES = r"\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af"
_WORD = re.compile(rf"[{_NO_SPACES}]|[^\W{_NO_SPACES}]+(?:[-'\u2019.][^\W{_NO_SPACES}]+)*|[^\w\s]+")
_SENTENCE_END = re.compile(r"[.!?\u2026\u3002\uff01\uff1f][\"')\]\u201d\u2019]*(?=\s|$)|[\u3002\uff01\uff1f]")


class PlainWords(WordTokenizer):
    """Runs of letters and digits, with what joins them inside; runs of other signs are words of their own."""

    def word_tokenize(self, text: str) -> list[str]:
        """ "It's 3.5, isn't it?" -> ["It's", "3.5", ",", "isn't", "it", "?"]"""
        return _WORD.findall(text)

    def sent_tokenize(self, text: str) -> list[str]:
        """The sentences, without the space around them."""
        return [sentence for start, end in self.span_tokenize(text) if (sentence := text[start:end].strip())]

    def span_tokenize(self, text: str) -> list[tuple[int, int]]:
        """Where each sentence begins and ends: with . ! or ? before a space, and at the end."""
        ends = [match.end() for match in _SENTENCE_END.finditer(text)]
        if not ends or text[ends[-1] :].strip():
            ends.append(len(text))
        return list(itertools.pairwise([0, *ends]))


WORDS = PlainWords()
"""datatrove remembers the words of its last texts per tokenizer, so there is one."""
