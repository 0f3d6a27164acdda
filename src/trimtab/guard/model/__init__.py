"""Light linear models over hashed n-grams and concepts, scored in pure Python. See docs/guard-model.md."""

from .linear import Linear, Scored, model

__all__ = ["Linear", "Scored", "model"]
