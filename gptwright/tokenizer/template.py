"""The chat template that Hugging Face tools render with; `chat.py` renders the same ids without Jinja.

Text that holds a special token's string is refused: those tools would read it as the token itself, and whoever
writes the text could then speak as another role. `chat.py` needs no such rule, because it encodes text as text.
"""

from __future__ import annotations

import hashlib

from gptwright.records import ROLES
from gptwright.tokenizer.special import SpecialToken

_SPECIAL_LIST = ", ".join(f"'{token}'" for token in SpecialToken)
_ROLE_LIST = ", ".join(f"'{role}'" for role in ROLES)

# `generation` marks what the assistant wrote, for tools that train on it (TRL's assistant_only_loss).
TEMPLATE_JINJA = (
    "{%- for message in messages -%}"
    "{%- if message['role'] not in [" + _ROLE_LIST + "] -%}"
    "{{- raise_exception('unknown role ' ~ message['role']) -}}"
    "{%- endif -%}"
    "{%- set calls = message.get('tool_calls') or [] -%}"
    "{%- set thinking = message.get('thinking') or '' -%}"
    "{%- set content = message.get('content') or '' -%}"
    "{%- for text in [content] + calls | list -%}"
    "{%- if text is not string -%}"
    '{{- raise_exception(\'content and tool calls are texts here, a call as {"name": ..., "arguments": ...}\') -}}'
    "{%- endif -%}"
    "{%- endfor -%}"
    "{%- for special in [" + _SPECIAL_LIST + "] -%}"
    "{%- if special in content ~ ' ' ~ thinking ~ ' ' ~ calls | join(' ') -%}"
    "{{- raise_exception('a message may not contain ' ~ special) -}}"
    "{%- endif -%}"
    "{%- endfor -%}"
    "{{- '<|' ~ message['role'] ~ '|>' -}}"
    "{%- if message['role'] == 'assistant' -%}"
    "{%- generation -%}"
    "{%- if thinking -%}{{- '" + SpecialToken.THINK + "' ~ thinking ~ '" + SpecialToken.THINK_END + "' -}}{%- endif -%}"
    "{{- content -}}"
    "{%- for call in calls -%}{{- '" + SpecialToken.TOOL_CALL + "' ~ call -}}{%- endfor -%}"
    "{{- '" + SpecialToken.END_OF_TURN + "' -}}"
    "{%- endgeneration -%}"
    "{%- else -%}"
    "{{- content ~ '" + SpecialToken.END_OF_TURN + "' -}}"
    "{%- endif -%}"
    "{%- endfor -%}"
    "{%- if add_generation_prompt -%}{{- '" + SpecialToken.ASSISTANT + "' -}}{%- endif -%}"
)
TEMPLATE_HASH = hashlib.sha256(TEMPLATE_JINJA.encode()).hexdigest()[:16]
EARLIER_HASHES = ("4d197a77a033c858", "c17b72d15fbaf2d9")
"""Of templates that render whatever this one renders to the same ids, the first one but for thinking and tool calls."""
