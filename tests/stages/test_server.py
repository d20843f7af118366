"""Answers from another server: a stand-in for vLLM's, with our engine behind it and vLLM's workers' class."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from gptwright import asking
from gptwright.engine.engine import Engine
from gptwright.engine.params import SamplingParams
from gptwright.engine.request import Request
from gptwright.errors import InputError, RunError
from gptwright.model.folder import save_model
from gptwright.model.transformer import LanguageModel
from gptwright.recipe import SamplingServer
from gptwright.stages.server import RolloutServer
from gptwright.stages.vllm_worker import PolicyWorker, version_of
from gptwright.tokenizer.tokenizer import Tokenizer
from gptwright.train.distributed import Ranks


class StandIn(ThreadingHTTPServer):
    """As much of vLLM's server as practice asks for; `fault` is what is wrong with it."""

    daemon_threads = True

    def __init__(self, model: LanguageModel, tokenizer: Tokenizer) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.model, self.tokenizer, self.fault = model, tokenizer, ""
        self.ends = {tokenizer.end_of_turn, tokenizer.document_end}  # of the generation_config.json in the SFT folder
        self.worker, self.lock = PolicyWorker(), threading.Lock()
        loads = SimpleNamespace(load_weights=lambda weights: model.load_state_dict(dict(weights), strict=False))
        self.worker.model_runner = SimpleNamespace(model=loads)
        self.taken, self.bodies, self.resets = list[str](), list[dict[str, Any]](), 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def answer(self, path: str, body: dict[str, Any]) -> Any:
        if path == "/v1/models":
            return {"data": [{"id": "policy"}]}
        if path == "/reset_prefix_cache":
            self.resets += 1
            return None
        if path == "/collective_rpc":
            return {"results": [self._told(body)]}
        assert path == "/v1/completions"
        self.bodies.append(body)
        return {"choices": [self._completed(body)]}

    def _told(self, body: dict[str, Any]) -> str:
        if body["method"] == "take_policy" and self.fault == "stale":
            return self.worker.which_policy()
        version = str(getattr(self.worker, body["method"])(*body["args"]))
        if body["method"] == "take_policy":
            self.taken.append(version)
        elif self.fault == "exchanged":
            return "another"
        return version

    def _completed(self, body: dict[str, Any]) -> dict[str, Any]:
        warmer = 3.0 if self.fault == "warm" else 1.0
        params = SamplingParams(body["max_tokens"], warmer * body["temperature"], seed=body["seed"])
        with self.lock:
            ends = set() if body.get("ignore_eos") else self.ends
            engine = Engine(self.model, stop_ids=ends | set(body["stop_token_ids"]))
            done = engine.generate([Request(body["prompt"], params)])[0]
        told = {"token_logprobs": done.logprobs}
        choice = {"token_ids": done.ids, "logprobs": told, "finish_reason": done.finish_reason}
        if self.fault == "aborted":
            choice["finish_reason"] = "abort"
        if self.fault == "no ids":
            del choice["token_ids"]
        if self.fault == "no end":
            choice["finish_reason"] = "stop"
            choice["token_ids"] = [token if token not in body["stop_token_ids"] else 0 for token in done.ids]
        return choice


class Handler(BaseHTTPRequestHandler):
    server: StandIn

    def do_GET(self) -> None:
        self._reply(self.server.answer(self.path, {}))

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        faults = {"no dev mode": 404, "no workers": 500}
        if self.path == "/collective_rpc" and self.server.fault in faults:
            self.send_error(faults[self.server.fault])
            return
        self._reply(self.server.answer(self.path, body))

    def _reply(self, value: Any) -> None:
        data = b"" if value is None else json.dumps(value).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def stand_in(make_model: Any, tokenizer: Tokenizer, monkeypatch: pytest.MonkeyPatch) -> Iterator[StandIn]:
    """A server that starts with weights of its own."""
    monkeypatch.setattr(asking, "FIRST_WAIT", 0.01)
    with StandIn(make_model(seed=7), tokenizer) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def weights(babbler: LanguageModel, tmp_path: Path) -> Path:
    path = tmp_path / "start.safetensors"
    save_file({name: value for name, value in babbler.state_dict().items() if name != "lm_head.weight"}, path)
    return path


def rollout_server(stand_in: StandIn, tmp_path: Path) -> RolloutServer:
    settings = SamplingServer(url=f"{stand_in.url}/v1", at_once=4)
    return RolloutServer(settings, tmp_path / "policy", stand_in.tokenizer, Ranks())


@pytest.mark.parametrize("kind", ["ppo", "grpo"])
def test_practice_with_a_server_is_practice_without(
    worker: Any, stand_in: StandIn, weights: Path, tmp_path: Path, kind: str
) -> None:
    wanted, rows = worker.practised(tmp_path / "alone", weights, kind)
    found, told = worker.practised(tmp_path / "asked", weights, kind, url=stand_in.url)
    assert [name for name in wanted if not torch.equal(wanted[name], found[name])] == []
    assert rows == told
    assert len(stand_in.taken) == stand_in.resets == 4
    assert len(set(stand_in.taken)) == (3 if kind == "ppo" else 4)  # in PPO's first round the value model warms up
    assert max(row.get("sampling/gap", 0.0) for row in told) < 1e-5


def test_sampling_is_pure_whatever_the_folder_says(stand_in: StandIn, tmp_path: Path, tokenizer: Tokenizer) -> None:
    server = rollout_server(stand_in, tmp_path)
    request = Request([5, 6, 7], SamplingParams(3, 0.9, seed=2**61))
    completion = server.generate([request])[0]
    wanted = Engine(stand_in.model, stop_ids={tokenizer.end_of_turn}).generate([request])[0]
    assert (completion.ids, completion.logprobs) == (wanted.ids, wanted.logprobs)
    asked = {"top_p": 1.0, "top_k": -1, "min_p": 0.0, "repetition_penalty": 1.0, "seed": 2**61, "temperature": 0.9}
    assert asked.items() <= stand_in.bodies[0].items()


def test_the_end_of_a_document_ends_no_answer(stand_in: StandIn, tmp_path: Path, tokenizer: Tokenizer) -> None:
    requests = [Request([5, 6, 7], SamplingParams(40, 1.0, seed=seed)) for seed in range(16)]
    completions = rollout_server(stand_in, tmp_path).generate(requests)
    assert any(tokenizer.document_end in each.ids[:-1] for each in completions)
    wanted = Engine(stand_in.model, stop_ids={tokenizer.end_of_turn}).generate(requests)
    assert [each.ids for each in completions] == [each.ids for each in wanted]


@pytest.mark.parametrize(
    ("fault", "kind", "message"),
    [
        ("stale", RunError, "answers with other weights .* than it was given"),
        ("exchanged", RunError, "answers with other weights"),
        ("no dev mode", InputError, "answered 404: .*VLLM_SERVER_DEV_MODE=1"),
        ("no workers", InputError, "answered 500: .*-cls gptwright.stages.vllm_worker.PolicyWorker"),
        ("aborted", RunError, "finished by 'abort': no whole answer"),
        ("no ids", InputError, "sends no ids and log-probabilities .* vLLM 0.10.2"),
        ("no end", RunError, "finished by 'stop': no whole answer"),
        ("warm", RunError, "nats a token away from the policy"),
    ],
)
def test_a_server_that_answers_otherwise_is_told(
    worker: Any, stand_in: StandIn, weights: Path, tmp_path: Path, fault: str, kind: type[Exception], message: str
) -> None:
    stand_in.fault = fault
    with pytest.raises(kind, match=message):
        worker.practised(tmp_path / "run", weights, "grpo", url=stand_in.url)


def test_a_server_that_is_not_there_is_told(stand_in: StandIn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asking, "TRIES", 2)
    server = rollout_server(stand_in, tmp_path)
    server.url = "http://127.0.0.1:9"
    with pytest.raises(RunError, match=r"sampling server http://127.0.0.1:9/v1/completions cannot be reached"):
        server.generate([Request([1], SamplingParams(2))])


def test_a_version_is_the_weights_bytes(make_model: Any, tokenizer: Tokenizer, tmp_path: Path) -> None:
    for name, seed in (("a", 1), ("same", 1), ("b", 2)):
        (tmp_path / name).mkdir()
        save_model(make_model(seed=seed), tmp_path / name, eos=tokenizer.end_of_turn, pad=tokenizer.pad)
    assert version_of(tmp_path / "a") == version_of(tmp_path / "same") != version_of(tmp_path / "b")


def test_a_worker_that_fails_half_way_has_no_version(make_model: Any, tokenizer: Tokenizer, tmp_path: Path) -> None:
    save_model(make_model(), tmp_path, eos=tokenizer.end_of_turn, pad=tokenizer.pad)
    worker = PolicyWorker()
    worker.model_runner = SimpleNamespace(model=SimpleNamespace(load_weights=lambda weights: list(weights)))
    assert worker.take_policy(str(tmp_path)) == worker.which_policy() == version_of(tmp_path)
    taken: list[str] = []
    newer = SimpleNamespace(reload_weights=lambda weights_iterator: taken.extend(name for name, _ in weights_iterator))
    other = PolicyWorker()
    other.model_runner = newer
    assert other.take_policy(str(tmp_path)) == version_of(tmp_path) and "model.norm.weight" in taken
    (tmp_path / "model.safetensors").write_bytes(b"half")
    with pytest.raises(Exception, match="header"):
        worker.take_policy(str(tmp_path))
    assert worker.which_policy() == ""
