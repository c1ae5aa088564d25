"""Every classifier of the zoo has exactly the published number of parameters.

What is counted is where published numbers differ for one name:

- T, the trained parameters, as papers and torchvision count, or all of them, as
  `count_params()` does: the moving averages of batch norms are 53,120 of ResNet-50.
- The sum over `non_trainable_variables` also counts the seeds of dropout, 20 in
  EfficientNet-B0; `count_params()` does not.
- keras.applications' EfficientNets count 7 values that normalise the picture.
- Its first ResNets have biases before their norms, 26,560 in ResNet-50.
- Its batch norms of Inception V3 have no scales; torchvision's have.
- Auxiliary heads, of GoogLeNet and Inception V3, are there for training.
- torchvision's GoogLeNet has 3 x 3 where the paper has 5 x 5.
- Two networks are called AlexNet, and one of them has groups.
- VGG with batch norm keeps the biases of its convolutions.
- MobileNetV2's last convolution has 1280 channels at widths below 1 too.
- Classes: CIFAR's rows have 10 or 100, LeNet-5's 10, all others 1000.
- The picture's size, where dense layers follow the last map: VGG, AlexNet, LeNet-5.

Multiply-adds are torchvision's: "FLOPs" often are twice as many. Sources: torchvision's
and Keras's own metadata, and the layer tables of the papers, which agree wherever there
are two of them.
"""

import dataclasses
import functools
import gc
import sys

import keras
import pytest

from tfdl.backbones import BACKBONES, WITH_AUXILIARY, cifar_resnet, weights
from tfdl.layers import cost


@dataclasses.dataclass(frozen=True)
class Published:
    """What is known of one model.

    Attributes:
        name: of the model, a key of `BACKBONES` or of `OTHERS`.
        trainable: parameters.
        parameters: those and the moving averages; None if nobody says.
        giga: thousands of millions of multiply-adds for one picture, likewise.
        body: trained parameters of all but the head, likewise.
        shape: of the picture.
        num_classes: of the head.
        options: other arguments.
        is_slow: whether it takes over ten seconds to build.
    """

    name: str
    trainable: int
    parameters: int | None = None
    giga: float | None = None
    body: int | None = None
    shape: tuple[int, int, int] = (224, 224, 3)
    num_classes: int = 1000
    options: dict = dataclasses.field(default_factory=dict)
    is_slow: bool = False

    @property
    def title(self) -> str:
        """The name, and what is not the default."""
        classes = () if self.num_classes in (10, 1000) else (self.num_classes,)
        options = (f"{name}={value}" for name, value in self.options.items())
        return " ".join(map(str, (self.name, *classes, *options)))

    def build(self) -> keras.Model:
        """Build it, as it is trained if it has auxiliary outputs."""
        options = dict(self.options)
        is_with_head = options.pop("auxiliary", False)
        builders = WITH_AUXILIARY if is_with_head else BACKBONES | OTHERS
        return builders[self.name](self.shape, self.num_classes, **options)


OTHERS = {
    "cifar_resnet1202": functools.partial(cifar_resnet.cifar_resnet, 1202),
}
Digits = functools.partial(Published, shape=(32, 32, 1), num_classes=10)
Cifar = functools.partial(Published, shape=(32, 32, 3), num_classes=10)
At299 = functools.partial(Published, shape=(299, 299, 3))
SMALL = {"shape": (28, 28, 1)}
AUXILIARY = {"auxiliary": True}
WITH_SCALES = {"norm_scale": True, "auxiliary": True}

MODELS = [
    Digits("lenet5", 61_706, 61_706),
    Digits("lenet5", 61_706, 61_706, options={"pad": True}, **SMALL),
    Digits("lenet5", 44_426, 44_426, options={"pad": False}, **SMALL),
    # 60,000 up to F6, and a linear layer for the radial basis functions.
    Digits("lenet5_1998", 60_000 + 850, 60_000 + 850),
    Published("alexnet", 62_378_344, 62_378_344),
    Published("alexnet_grouped", 60_965_224, 60_965_224),
    Published("alexnet_torchvision", 61_100_840, 61_100_840, 0.714),
    Published("vgg11", 132_863_336, 132_863_336),
    Published("vgg13", 133_047_848, 133_047_848),
    Published("vgg16", 138_357_544, 138_357_544, 15.47, body=14_714_688),
    Published("vgg19", 143_667_240, 143_667_240, body=20_024_384),
    Published("vgg16_bn", 138_365_992),
    Cifar("cifar_nin", 966_986, 966_986),
    Published("googlenet", 6_998_552),
    Published("googlenet", 13_378_280, options=AUXILIARY),
    Published("googlenet_bn", 6_624_904, giga=1.498),
    Published("googlenet_bn", 13_004_888, options=AUXILIARY),
    At299("inception_v3", 23_817_352, 23_851_784, 5.713),
    # torchvision's, which has 23,834,568 without the head for training.
    At299("inception_v3", 27_161_264, body=21_785_568, options=WITH_SCALES),
    At299("xception", 22_855_952, 22_910_480),
    At299("inception_resnet_v2", 55_813_192, 55_873_736),
    Published("resnet18", 11_689_512, 11_699_112, 1.814),
    Published("resnet34", 21_797_672, 21_814_696, 3.664),
    Published("resnet50", 25_557_032, 25_610_152, 4.089),
    Published("resnet101", 44_549_160, 44_654_504, 7.801),
    Published("resnet152", 60_192_808, 60_344_232, 11.514),
    Published("resnet50_v1", 25_583_592, 25_636_712),
    Published("resnet101_v1", 44_601_832, 44_707_176),
    Published("resnet152_v1", 60_268_520, 60_419_944),
    Published("resnet50_v2", 25_568_360, 25_613_800),
    Published("resnet101_v2", 44_577_896, 44_675_560),
    Published("resnet152_v2", 60_236_904, 60_380_648),
    Published("resnext50_32x4d", 25_028_904, giga=4.230),
    Published("resnext101_32x4d", 44_177_704),
    Published("resnext101_32x8d", 88_791_336),
    Published("wide_resnet50_2", 68_883_240, giga=11.398),
    Published("wide_resnet101_2", 126_886_696),
    Cifar("wrn_16_4", 2_748_890),
    Cifar("wrn_16_8", 10_961_370),
    Cifar("wrn_28_10", 36_479_194),
    Cifar("wrn_28_10", 36_536_884, num_classes=100),
    Cifar("wrn_40_4", 8_949_210),
    Cifar("cifar_resnet20", 269_722),
    Cifar("cifar_resnet32", 464_154),
    Cifar("cifar_resnet44", 658_586),
    Cifar("cifar_resnet56", 853_018),
    Cifar("cifar_resnet110", 1_727_962),
    Cifar("cifar_resnet1202", 19_421_274, is_slow=True),
    Published("densenet121", 7_978_856, 8_062_504, 2.834),
    Published("densenet161", 28_681_000, 28_900_936),
    Published("densenet169", 14_149_480, 14_307_880),
    Published("densenet201", 20_013_928, 20_242_984),
    Cifar("densenet_40_12", 1_019_722),
    Cifar("densenet_bc_100_12", 769_162),
    Published("squeezenet1_0", 1_248_424, 1_248_424, 0.819, body=735_424),
    Published("squeezenet1_1", 1_235_496, 1_235_496, 0.349, body=722_496),
    Published("mobilenet_v1", 4_231_976, 4_253_864),
    Published("mobilenet_v1", 1_331_592, 1_342_536, options={"width": 0.5}),
    Published("mobilenet_v1", 470_072, options={"width": 0.25}),
    Published("mobilenet_v2", 3_504_872, 3_538_984, 0.301),
    Published("mobilenet_v2", 1_677_128, 1_691_208, options={"width": 0.35}),
    Published("mobilenet_v2", 6_108_776, 6_156_712, options={"width": 1.4}),
    Published("efficientnet_b0", 5_288_548, 5_330_571 - 7, 0.386),
    Published("efficientnet_b1", 7_794_184, 7_856_239 - 7),
    Published("efficientnet_b4", 19_341_616, 19_466_823 - 7),
    Published("darknet53", 41_609_928, body=40_584_928),
]


@pytest.fixture(autouse=True)
def _zeros(monkeypatch):
    """Start from zeros: drawing 140 million numbers takes seconds. Free them after."""
    gc.freeze()  # what was there before need not be searched for garbage
    recursion_limit = sys.getrecursionlimit()
    # Keras follows a graph by recursion: 1202 layers are 4,200 calls of Keras's deep.
    sys.setrecursionlimit(10_000)
    for kind in (keras.initializers.VarianceScaling, keras.initializers.RandomNormal):
        monkeypatch.setattr(
            kind,
            "__call__",
            lambda self, shape, dtype=None: keras.ops.zeros(shape, dtype),
        )
    yield
    sys.setrecursionlimit(recursion_limit)
    keras.backend.clear_session(free_memory=False)
    gc.collect()
    gc.unfreeze()


ROWS = [
    pytest.param(row, id=row.title, marks=[pytest.mark.slow] if row.is_slow else [])
    for row in MODELS
]


@pytest.mark.parametrize("row", ROWS)
def test_counts_are_the_published(row):
    model = row.build()
    assert model.name == row.name
    costs = cost.of_layers(model)
    total = cost.total(costs)
    assert total.trainable == row.trainable
    assert total.parameters == model.count_params()
    assert row.parameters in (total.parameters, None)
    if row.body is not None:
        body = [one for one in costs if not one.layer.startswith(weights.CLASSIFIER)]
        assert cost.total(body).trainable == row.body
    if row.giga is not None:
        assert total.multiply_adds == pytest.approx(row.giga * 1e9, rel=0.005)
