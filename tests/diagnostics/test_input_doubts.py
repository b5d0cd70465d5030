"""Doubts about what a model of others makes of its input, before anything is measured."""

import copy
from dataclasses import replace

import torch

from robustbench_sdnet.diagnostics.doubts import input_doubts

from ..tiny_setting import RESNET


def test_an_external_model_that_is_normalised_twice_raises_a_doubt(make_worker, networks):
    class Twice(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = copy.deepcopy(networks["resnet"])
            for name, counter in self.inner.named_buffers():
                if name.endswith("num_batches_tracked"):
                    counter.fill_(100)  # three, after which nothing can be said

        def forward(self, x):
            return self.inner((x - 0.45) / 0.2)

    worker = make_worker()
    worker.load = lambda spec: Twice() if "twice" in spec.source else networks["resnet"]
    external = [replace(RESNET, name=name, source=f"mine:{name}", weights=name) for name in ("once", "twice")]
    doubts = list(input_doubts([RESNET, *external], worker))
    assert len(doubts) == 1
    assert doubts[0].startswith("twice: The input looks wrong")


def test_an_external_model_of_more_classes_raises_a_doubt(make_worker):
    worker = make_worker()
    classes = worker.data.num_classes

    class Wider(torch.nn.Module):
        def forward(self, x):
            return x.new_zeros((len(x), classes + 1))

    worker.load = lambda spec: Wider()
    (doubt,) = input_doubts([RESNET, replace(RESNET, name="wider", source="mine:wider")], worker)
    assert f"wider has {classes + 1} classes and {worker.data.name} has {classes}: an answer beyond" in doubt


def test_an_exported_file_is_doubted_too(make_worker):
    class Wider(torch.nn.Module):
        def forward(self, x):
            if len(x) == 1:
                raise ValueError("Expected more than 1 value per channel")
            return x.new_zeros((len(x), worker.data.num_classes + 1))

    worker = make_worker()
    worker.load = lambda spec: Wider()
    (doubt,) = input_doubts([replace(RESNET, name="wider", source="net.pt?mean=0&std=1")], worker)
    assert doubt.startswith("wider has ")


def test_an_external_model_whose_answers_depend_on_the_batch_raises_a_doubt(make_worker, networks):
    class Adapting(torch.nn.Module):
        def forward(self, x):
            logits = networks["resnet"](x)
            return logits - logits.mean(0)

    worker = make_worker()
    worker.load = lambda spec: Adapting() if "adapting" in spec.source else networks["resnet"]
    external = [
        replace(RESNET, name=name, source=f"mine:{name}", weights=name) for name in ("alone", "adapting")
    ]
    assert not list(input_doubts(external[:1], worker))
    doubts = [line for line in input_doubts(external, worker) if "--batch-size" in line]
    assert len(doubts) == 1
    assert doubts[0].startswith("adapting answers an image differently among other images")
