"""The embedded model, and a tiny one with its tokenizer, each loaded once a file."""

import pytest
import torch

from ragemo.llm.local_model import LocalModel
from tests.llm.local.worlds import tiny_parts


@pytest.fixture(scope="module")
def tokenizer(smollm2_folder):
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(smollm2_folder)


@pytest.fixture(scope="module")
def parts(tokenizer):
    return tiny_parts(tokenizer, "llama")


@pytest.fixture(scope="module")
def real_parts(smollm2_folder, tokenizer):
    """The embedded model in single precision."""
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(smollm2_folder, dtype=torch.float32)
    return model.eval(), tokenizer


@pytest.fixture(scope="module")
def loaded(smollm2_folder):
    """The embedded model as a user gets it."""
    return LocalModel.load()


@pytest.fixture
def model(parts):
    return LocalModel("llm", *parts)
