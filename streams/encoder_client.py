"""The item encoder behind Triton."""

from __future__ import annotations

from contracts.errors import EncoderUnavailable
from contracts.routes import Routes
from contracts.settings import TritonSettings
from contracts.tensors import ITEM_ENCODER_INPUTS, ITEM_ENCODER_OUTPUTS, Info
from streams.encoding import Encoded
from streams.inference import InferenceClient
from streams.ports import Tensors

MODEL = "item_encoder"


class TritonEncoder:
    """`streams.encoding.ItemEncoder` over gRPC; create it inside the running event loop.

    Args:
        settings: address and deadline.
    """

    def __init__(self, settings: TritonSettings) -> None:
        self._client = InferenceClient(settings.grpc_address, unavailable=EncoderUnavailable, timeout=EncoderUnavailable)
        self._deadline = settings.encoder_deadline_ms / 1000

    async def close(self) -> None:
        """Close the channel."""
        await self._client.close()

    async def encode(self, tensors: Tensors) -> Encoded:
        """See `streams.encoding.ItemEncoder.encode`."""
        outputs = await self._client.infer(MODEL, tensors, ITEM_ENCODER_INPUTS, ITEM_ENCODER_OUTPUTS, deadline_s=self._deadline)
        return Encoded(
            fused=outputs["fused"],
            text=outputs["text"],
            image=outputs["image"],
            weights=outputs["weights"],
            missing=outputs["missing"],
            model_version=int(outputs["info"][Info.MODEL_VERSION]),
        )


class RoutedEncoder:
    """`streams.encoding.ItemEncoder` at the live server of the newest record; versions of one item topic encode alike.

    Args:
        settings: address while there is no record, and deadline.
    """

    def __init__(self, settings: TritonSettings) -> None:
        self._settings = settings
        self._live = TritonEncoder(settings)
        self._before: TritonEncoder | None = None

    async def apply(self, routes: Routes) -> None:
        """Ask the record's live server from the next batch on; a call under way ends where it began."""
        if routes.live.address != self._settings.grpc_address:
            self._settings = self._settings.model_copy(update={"grpc_address": routes.live.address})
            gone, self._before, self._live = self._before, self._live, TritonEncoder(self._settings)
            if gone is not None:
                await gone.close()

    async def encode(self, tensors: Tensors) -> Encoded:
        """See `streams.encoding.ItemEncoder.encode`."""
        return await self._live.encode(tensors)
