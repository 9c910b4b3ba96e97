"""The engine for CPUs: ONNX Runtime over graphs that were converted once. No PyTorch."""

from __future__ import annotations

import shutil
import tempfile
import weakref
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from hashlib import blake2b
from pathlib import Path
from typing import Literal

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from seesay.blip.checkpoint import Checkpoint
from seesay.blip.config import PAIRING, Task
from seesay.engine.base import (
    Encoded,
    Floats,
    Ints,
    Precision,
    cannot,
    check_length,
    check_pixels,
    check_session,
    check_texts,
)
from seesay.engine.cache import converted
from seesay.engine.threads import physical_cores
from seesay.errors import ModelError, UsageError

_HIDDEN = -1e9  # added to a score, it leaves no probability; -inf would make a row of nothing but it NaN

_FIRST_GRAPHS: Mapping[Task, tuple[str, ...]] = {  # those that every use needs; the others open when asked for
    "caption": ("image", "context", "decoder"),
    "pretrain": ("image", "context", "decoder"),
    "match": ("image",),
    "answer": ("image", "reader_context", "reader", "answer_context", "answer_decoder"),
    "full": ("image", "context", "decoder"),
}


class OnnxEngine:
    """One BLIP on ONNX Runtime; see `engine.base.Engine`.

    precision: "fp32"; "int8", weights and activations; "auto" is int8 where this CPU sums bytes exactly (VNNI, dot
    product), fp32 otherwise. In int8 all rows of a decoding step share one scale, so logits depend a little on what
    else is in the batch; features do not.
    threads: None takes one for each physical core that this process may use.
    cache: where converted graphs are kept; None converts into a temporary folder that goes with the engine.

    Raises UsageError for a precision that this engine has not, ModelError where the cache cannot be written.
    """

    name = "onnx"

    def __init__(
        self,
        checkpoint: Checkpoint,
        precision: Precision = "auto",
        threads: int | None = None,
        cache: Path | None = None,
    ) -> None:
        if precision not in ("auto", "fp32", "int8"):
            raise UsageError(f"The ONNX engine has no {precision}", 'Use fp32 or int8, or in Python engine="torch".')
        self.config = checkpoint.config
        self.threads = threads or physical_cores()
        # Graphs open at once, in the background: while one is waited for, or a photo decoded, the others come too.
        self._opener = ThreadPoolExecutor(thread_name_prefix="seesay-open")
        self._own: Path | None = None
        if cache is None:
            self._own = cache = Path(tempfile.mkdtemp(prefix="seesay-"))
            weakref.finalize(self, _end, self._opener, cache)
        exact = precision == "fp32" or _sums_bytes_exactly(cache / "converted")
        self.precision: Literal["fp32", "int8"] = (
            "int8" if precision == "int8" or (precision == "auto" and exact) else "fp32"
        )
        weight_bits = 8 if exact or self.precision == "fp32" else 7  # in fp32 nothing: "auto" finds what "fp32" made
        recipe = f"{self.precision}-{weight_bits}-{_writer()}"
        folder = converted(
            cache / "converted",
            f"{checkpoint.key}-{recipe}",
            lambda folder: _convert(checkpoint, folder, self.precision, weight_bits),
        )
        self._folder = folder
        self._opened: dict[str, Future[onnxruntime.InferenceSession]] = {}
        for name in _FIRST_GRAPHS[self.config.task]:
            self._begin_opening(name)

    def close(self) -> None:
        """Open no more graphs, and wait for those that are opening; a folder of the engine's own goes then."""
        _end(self._opener, self._own)

    def encode(self, pixels: Floats) -> Encoded:
        """pixels: (images, 3, side, side), normalised. Raises UsageError for another shape."""
        check_pixels(pixels, self.config.vision.image_size)
        graph = self._graph("image")
        names = [output.name for output in graph.get_outputs()]
        # One at a time: a batch is no faster, wants more memory, and in int8 an image would lend its scale to others.
        found = [graph.run(names, {"pixels": np.asarray(image[None], np.float32)}) for image in pixels]
        joined = dict(zip(names, map(np.concatenate, zip(*found, strict=True)), strict=True))
        return Encoded(joined["features"], joined.get("concepts"))

    @contextmanager
    def session(self, context: Floats, prompt: Ints, beams: int) -> Iterator[OnnxSession]:
        """See `engine.base.Engine.session`. Raises CapabilityError for a model that does not caption."""
        graphs = self._graph("context", "caption"), self._graph("decoder", "caption")
        yield self._session(*graphs, context, prompt, beams)

    @contextmanager
    def answer_session(self, states: Floats, prompt: Ints, beams: int) -> Iterator[OnnxSession]:
        """See `engine.base.Engine.answer_session`. Raises CapabilityError for a model that does not answer."""
        graphs = self._graph("answer_context", "answer"), self._graph("answer_decoder", "answer")
        yield self._session(*graphs, states, prompt, beams)

    def _session(
        self,
        context_graph: onnxruntime.InferenceSession,
        decoder: onnxruntime.InferenceSession,
        context: Floats,
        prompt: Ints,
        beams: int,
    ) -> OnnxSession:
        width, longest = context_graph.get_inputs()[0].shape[2], self.config.text.max_position_embeddings
        check_session(context, width, prompt, beams, longest)
        return OnnxSession(context_graph, decoder, context, prompt, beams, longest)

    def read(self, ids: Ints, mask: Ints, features: Floats) -> Floats:
        """See `engine.base.Engine.read`."""
        (states,) = self._read(ids, mask, features, "states")
        return states

    def match(self, ids: Ints, mask: Ints, features: Floats) -> Floats:
        """See `engine.base.Engine.match`."""
        if self.config.task not in PAIRING:
            raise cannot(self.config.task, "match pictures and texts")
        (logits,) = self._read(ids, mask, features, "match")
        return logits

    def likelihoods(self, ids: Ints, mask: Ints, features: Floats) -> Floats:
        """See `engine.base.Engine.likelihoods`. The texts of an image stand behind one another in one row."""
        check_texts(ids, mask, len(features), self.config.text.max_position_embeddings)
        decoder = self._graph("decoder", "caption")
        fed = _context(self._graph("context", "caption"), features) | _empty_cache(decoder, len(features))
        each, length = len(ids) // len(features), ids.shape[1] - 1
        earlier = np.kron(np.eye(each), np.tril(np.ones((length, length)))) > 0
        seen = np.tile(earlier, (len(features), 1, 1))
        positions, wanted = np.tile(np.arange(length), each), np.arange(each * length)
        tokens = _tokens(ids[:, :-1].reshape(len(features), -1), positions, seen, wanted)
        [found] = decoder.run_with_ort_values(["logits"], tokens | fed)
        logits: Floats = found.numpy().reshape(len(ids) * length, -1)
        logits -= logits.max(axis=1, keepdims=True)
        said = np.take_along_axis(logits, ids[:, 1:].reshape(-1, 1), axis=1)[:, 0]
        chosen = said - np.log(np.exp(logits).sum(axis=1))
        likely: Floats = (chosen.reshape(len(ids), length) * mask[:, 1:]).sum(axis=1)
        return likely

    def embed_text(self, ids: Ints, mask: Ints) -> Floats:
        """See `engine.base.Engine.embed_text`."""
        check_texts(ids, mask, 1, self.config.text.max_position_embeddings)
        fed = _texts(ids, mask)
        found: Floats = self._graph("text_embedding", "embed texts").run(["embedding"], fed)[0]
        return found

    def embed_image(self, features: Floats) -> Floats:
        """See `engine.base.Engine.embed_image`."""
        graph = self._graph("image_embedding", "embed pictures")
        found: Floats = graph.run(["embedding"], {"features": np.asarray(features, np.float32)})[0]
        return found

    def _read(self, ids: Ints, mask: Ints, features: Floats, *wanted: str) -> list[Floats]:
        check_texts(ids, mask, len(features), self.config.text.max_position_embeddings)
        verb = "read texts beside a picture"
        context = _context(self._graph("reader_context", verb), features)
        fed = _texts(ids, mask) | {name: value.numpy() for name, value in context.items()}
        found: list[Floats] = self._graph("reader", verb).run(list(wanted), fed)
        return found

    def _graph(self, name: str, verb: str = "see") -> onnxruntime.InferenceSession:
        """Raises CapabilityError where the model has none of that name and so cannot do `verb`."""
        if name not in self._opened:
            if not (self._folder / f"{name}.onnx").exists():
                raise cannot(self.config.task, verb)
            self._begin_opening(name)
        return self._opened[name].result()

    def _begin_opening(self, name: str) -> None:
        self._opened[name] = self._opener.submit(open_graph, self._folder / f"{name}.onnx", self.threads)


class OnnxSession:
    """Rows of tokens growing over the features of their images; see `engine.base.Session`.

    The key-value cache only grows: each step appends one entry for each beam of an image, all beams of an image share
    its entries, and a mask says which are a row's own past. So reordering beams moves no keys and values. Images that
    `keep` drops are carried along until half are gone: copying what remains costs more than a few idle rows.
    """

    def __init__(
        self,
        context_graph: onnxruntime.InferenceSession,
        decoder: onnxruntime.InferenceSession,
        context: Floats,
        prompt: Ints,
        beams: int,
        longest: int,
    ) -> None:
        images, length = len(context), len(prompt)
        self._decoder, self._beams, self._longest = decoder, beams, longest
        self._context = _context(context_graph, context)
        self._outputs = [output.name for output in decoder.get_outputs()]
        self._past = _empty_cache(decoder, images)
        self._live: NDArray[np.intp] = np.arange(images)  # images still wanted, among those carried
        self._carried = images
        self._length = 0
        causal = np.tril(np.ones((length, length), np.bool_))
        ids = np.tile(np.asarray(prompt, np.int64), (images, 1))
        last = np.array([length - 1])
        self._first = self._run(ids, np.arange(length), np.tile(causal, (images, 1, 1)), last)[:, 0]
        self._ancestors = np.ones((images, beams, length), np.bool_)  # entries of the cache that are a row's past

    @property
    def first(self) -> Floats:
        """Logits after the prompt, (images, vocabulary)."""
        return self._first

    def logits(self, ids: Ints) -> Floats:
        """Append one token to each row; next-token logits (rows, vocabulary)."""
        fed = np.zeros((self._carried, self._beams), np.int64)
        fed[self._live] = ids.reshape(-1, self._beams)
        itself = np.broadcast_to(np.eye(self._beams, dtype=np.bool_), (self._carried, self._beams, self._beams))
        self._ancestors = np.concatenate([self._ancestors, itself], axis=2)
        positions = np.full(self._beams, self._length)
        logits = self._run(fed, positions, self._ancestors, np.arange(self._beams))
        if len(self._live) < self._carried:
            logits = logits[self._live]
        return logits.reshape(-1, logits.shape[-1])

    def reorder(self, sources: Ints) -> None:
        """Row r continues what row sources[r] was; sources stay within their image."""
        beams = sources.reshape(-1, self._beams) % self._beams
        self._ancestors[self._live] = self._ancestors[self._live[:, None], beams]

    def keep(self, images: Ints) -> None:
        """Go on with these images only, ascending positions among the present ones."""
        self._live = self._live[images]
        if 2 * len(self._live) > self._carried:
            return
        self._ancestors = self._ancestors[self._live]
        self._context = {name: _rows(value, self._live) for name, value in self._context.items()}
        self._past = {name: _rows(value, self._live) for name, value in self._past.items()}
        self._carried = len(self._live)
        self._live = np.arange(self._carried)

    def _run(self, ids: Ints, positions: Ints, seen: NDArray[np.bool_], wanted: Ints) -> Floats:
        """One call of the decoder: ids (carried, S), seen (carried, S, T + S). Logits (carried, wanted, vocabulary)."""
        self._length = int(positions[-1]) + 1
        check_length(self._length, self._longest)
        inputs = _tokens(ids, positions, seen, wanted)
        given = self._decoder.run_with_ort_values(self._outputs, inputs | self._context | self._past)
        found = dict(zip(self._outputs, given, strict=True))
        logits: Floats = found.pop("logits").numpy()
        self._past = {name.replace("present", "past"): value for name, value in found.items()}
        return logits


def _texts(ids: Ints, mask: Ints) -> dict[str, NDArray[np.generic]]:
    """What the graphs without a cache read for ids and mask, both (rows, tokens)."""
    rows, length = ids.shape
    hidden = np.where(np.asarray(mask) != 0, np.float32(0), np.float32(_HIDDEN))[:, None, None]
    added = np.ascontiguousarray(np.broadcast_to(hidden, (rows, 1, length, length)))
    return {"ids": np.asarray(ids, np.int64), "positions": np.arange(length), "mask": added}


def _context(graph: onnxruntime.InferenceSession, features: Floats) -> dict[str, onnxruntime.OrtValue]:
    """Cross-attention keys and values over features, by the names that other graphs read them under."""
    names = [output.name for output in graph.get_outputs()]
    given = onnxruntime.OrtValue.ortvalue_from_numpy(np.ascontiguousarray(features, np.float32))
    return dict(zip(names, graph.run_with_ort_values(names, {"features": given}), strict=True))


def _tokens(ids: Ints, positions: Ints, seen: NDArray[np.bool_], wanted: Ints) -> dict[str, onnxruntime.OrtValue]:
    """What the decoder reads for ids (images, S), positions (S,), seen (images, S, T + S) and wanted (n,)."""
    mask = np.where(seen, np.float32(0), np.float32(_HIDDEN))[:, None]
    fed = {"ids": ids, "positions": positions, "mask": mask, "wanted": wanted}
    return {name: onnxruntime.OrtValue.ortvalue_from_numpy(value) for name, value in fed.items()}


def _empty_cache(decoder: onnxruntime.InferenceSession, images: int) -> dict[str, onnxruntime.OrtValue]:
    """Keys and values of no tokens at all."""
    past = {}
    for entry in decoder.get_inputs():
        if entry.name.startswith("past."):
            _, heads, _, width = entry.shape
            empty = np.zeros((images, heads, 0, width), np.float32)
            past[entry.name] = onnxruntime.OrtValue.ortvalue_from_numpy(empty)
    return past


def _rows(value: onnxruntime.OrtValue, rows: NDArray[np.intp]) -> onnxruntime.OrtValue:
    """Those rows of a tensor; a scale, which has none, as it is."""
    return onnxruntime.OrtValue.ortvalue_from_numpy(value.numpy()[rows]) if len(value.shape()) > 1 else value


def _end(opener: ThreadPoolExecutor, own: Path | None) -> None:
    """Open no more; remove graphs in a folder of the engine's own, once nobody is opening them."""
    opener.shutdown(cancel_futures=True)
    if own:
        shutil.rmtree(own, ignore_errors=True)


def open_graph(path: Path, threads: int) -> onnxruntime.InferenceSession:
    """Raises ModelError where ONNX Runtime cannot use the file."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3  # errors only
    # A graph's threads stop spinning when its run ends: the next graph's need the cores.
    options.add_session_config_entry("session.force_spinning_stop", "1")
    try:
        return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # its exceptions share no base class but this
        raise ModelError(f"{path} cannot be opened: {error}", f"Remove {path.parent}; it is made again.") from error


# --------------------------------------------------------------------------------------------------------- conversion


def _writer() -> str:
    """Names the code that writes graphs, so that a conversion is not used after that code has changed."""
    digest = blake2b(digest_size=6)
    for module in ("attention.py", "build.py", "graph.py"):
        digest.update(Path(__file__).with_name(module).read_bytes())
    return digest.hexdigest()


def _convert(checkpoint: Checkpoint, folder: Path, precision: Literal["fp32", "int8"], weight_bits: int) -> None:
    from seesay.engine.build import write_graphs  # imports onnx, which a start from the cache does without

    write_graphs(folder, checkpoint.config, checkpoint.weights, precision, weight_bits)


def _sums_bytes_exactly(cache: Path) -> bool:
    """Whether ONNX Runtime's product of unsigned and signed bytes is exact on this CPU.

    Without VNNI or dot-product instructions x86 adds pairs of products in 16 bits, which saturate: quietly wrong. So it
    is tried: 255 * 127 twice is more than 16 bits hold.
    """
    folder = converted(cache, f"probe-{_writer()}", _write_probe)
    session = open_graph(folder / "probe.onnx", 1)
    (total,) = session.run(None, {"bytes": np.full((4, 64), 255, np.uint8)})
    return bool((total == 64 * 255 * 127).all())


def _write_probe(folder: Path) -> None:
    from seesay.engine.graph import Graph

    with Graph(folder, "probe") as graph:
        ones = graph.constant(np.full((64, 64), 127, np.int8))
        total = graph.op("MatMulInteger", graph.input("bytes", (4, 64), np.uint8), ones)
        graph.output(total, "total", (4, 64), np.int32)
