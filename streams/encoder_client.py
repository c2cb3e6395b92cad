"""The item encoder behind Triton."""

from __future__ import annotations

from contracts.errors import EncoderUnavailable
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
