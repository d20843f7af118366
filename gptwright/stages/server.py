"""Answers from a vLLM server in place of the engine in this process: for models too large to sample beside training.

Before each round the policy is written to a folder that the server sees too, and every worker of the server reads it
and says by its checksum which weights it has; after the round they are asked again. Answers that other weights may have
given are never learned from. What they are learned with, the log-probabilities of the policy that trains, is computed
here in any case (`rollout.evaluate_episodes`); those of the server serve to measure the gap.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from gptwright.asking import ask_json
from gptwright.engine.request import Completion, Request
from gptwright.errors import InputError, RunError
from gptwright.model.folder import save_model
from gptwright.model.transformer import LanguageModel
from gptwright.recipe import SamplingServer
from gptwright.stages.vllm_worker import version_of
from gptwright.tokenizer.tokenizer import Tokenizer
from gptwright.train.distributed import Ranks

HOW_TO_START = (
    "start it with VLLM_SERVER_DEV_MODE=1, --worker-extension-cls gptwright.stages.vllm_worker.PolicyWorker and "
    "--logprobs-mode processed_logprobs, where it sees the run's folder (docs/rlhf.md)"
)
OVERLOADED = (408, 429, 503, 504)
"""Statuses after which it is asked again. A worker that fails is told as 500."""
WAIT = 1800.0
"""Seconds that a server may take for an answer or for reading weights."""
PURE = {"top_p": 1.0, "top_k": -1, "min_p": 0.0, "repetition_penalty": 1.0}
"""No truncation, whatever the model's folder recommends: an answer's probability would be another than the policy's."""


class RolloutServer:
    """A server that answers as the policy does; several ranks ask it together."""

    def __init__(self, settings: SamplingServer, folder: Path, tokenizer: Tokenizer, ranks: Ranks) -> None:
        self.settings, self.folder, self.tokenizer, self.ranks = settings, folder.resolve(), tokenizer, ranks
        self.url = settings.url.rstrip("/").removesuffix("/v1")
        self.model, self.version = settings.model or ranks.of_first(self._first_model), ""

    def take(self, policy: LanguageModel) -> None:
        """Have the server answer as `policy` does. Raises RunError where it does not read what was written."""
        self.version = self.ranks.of_first(lambda: self._taken(policy))

    def generate(self, requests: Sequence[Request], on_end: Callable[[], None] | None = None) -> list[Completion]:
        """An answer to each request, which has plain sampling alone; `on_end` is called after each."""

        def complete(request: Request) -> Completion:
            completion = self._complete(request)
            if on_end:
                on_end()
            return completion

        with ThreadPoolExecutor(self.settings.at_once) as pool:
            return list(pool.map(complete, requests))

    def check(self) -> None:
        """After a round. Raises RunError where the weights were exchanged while it answered."""
        self.ranks.of_first(lambda: self._check(self._call("which_policy")))

    def _taken(self, policy: LanguageModel) -> str:
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True)
        save_model(policy, self.folder, eos=self.tokenizer.end_of_turn, pad=self.tokenizer.pad)
        for file in self.folder.iterdir():  # the server may run as somebody else
            file.chmod(0o644)
        self.version = version_of(self.folder)
        self._check(self._call("take_policy", str(self.folder)))
        # What was read of prompts by the weights before is of no use. vLLM answers with an empty page.
        self._post("/reset_prefix_cache", {})
        return self.version

    def _check(self, versions: Sequence[str]) -> None:
        if not versions or any(version != self.version for version in versions):
            raise RunError(
                f"sampling server {self.url} answers with other weights ({sorted(set(versions))}) than it was given in "
                f"{self.folder} ({self.version}): let nobody else use it, and see that both sides see that folder"
            )

    def _call(self, method: str, *arguments: str) -> list[str]:
        """The result of each worker."""
        told = self._post("/collective_rpc", {"method": method, "args": list(arguments)})
        try:
            return [str(each) for each in told["results"]]
        except (KeyError, TypeError):
            raise InputError(f"sampling server {self.url} has no workers that take a policy: {HOW_TO_START}") from None

    def _complete(self, request: Request) -> Completion:
        params, prompt = request.params, list(request.prompt_ids)
        told = self._post(
            "/v1/completions",
            {
                "model": self.model,
                "prompt": prompt,
                "max_tokens": params.max_new_tokens,
                "temperature": params.temperature,
                "seed": params.seed,
                "stop_token_ids": [self.tokenizer.end_of_turn],
                # Else vLLM stops at the ends that the served folder names too: a document's is no end of an answer.
                "ignore_eos": True,
                "logprobs": 1,
                "return_token_ids": True,
                **PURE,
            },
        )
        try:
            choice = told["choices"][0]
            ids, logprobs = list(choice["token_ids"]), list(choice["logprobs"]["token_logprobs"])
            said = str(choice["finish_reason"])
        except (KeyError, IndexError, TypeError):
            raise InputError(
                f"sampling server {self.url} sends no ids and log-probabilities of tokens: take vLLM 0.10.2 or later"
            ) from None
        ended = bool(ids) and ids[-1] == self.tokenizer.end_of_turn
        whole = ended if said == "stop" else said == "length" and len(ids) == params.max_new_tokens
        if not whole or len(ids) != len(logprobs):
            raise RunError(
                f"sampling server {self.url} sent {len(ids)} tokens and {len(logprobs)} log-probabilities, finished by "
                f"{said!r}: no whole answer to learn from"
            )
        return Completion(ids, logprobs, "stop" if ended else "length")

    def _first_model(self) -> str:
        told = ask_json(f"{self.url}/v1/models", None, who="sampling server", remedy=HOW_TO_START)
        try:
            return str(told["data"][0]["id"])
        except (KeyError, IndexError, TypeError):
            raise InputError(f"sampling server {self.url} names no model: check its address") from None

    def _post(self, path: str, body: dict[str, Any]) -> Any:
        return ask_json(
            f"{self.url}{path}", body, who="sampling server", remedy=HOW_TO_START, seconds=WAIT, busy=OVERLOADED
        )
