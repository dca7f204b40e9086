"""Backbones: shapes, names, minimum sizes, input channels, weights. Nothing is downloaded."""

from __future__ import annotations

import sys
import time
import urllib.error
from pathlib import Path

import pytest
import torch
import torchvision
from safetensors.torch import save_file
from torch import nn

from pellucid.errors import BundleError, MissingPackage, PlanError, UsageError
from pellucid.network import weights
from pellucid.network.backbones import build_backbone
from pellucid.network.spec import NETWORKS, RESNETS, VGGS, Block, NetworkSpec, minimum_image_size


def spec(name: str, size: int = 32, channels: int = 3, **options) -> NetworkSpec:
    return NetworkSpec(name=name, channels=channels, image_size=size, **options)


@pytest.mark.parametrize("name", [*VGGS, *RESNETS])
def test_layers_carry_torchvisions_names_and_shapes(name):
    with torch.device("meta"):
        ours = build_backbone(spec(name, 224)).state_dict()
        theirs = torchvision.models.get_model(name).state_dict()
    backbone = {k: v for k, v in theirs.items() if not k.startswith(("fc.", "classifier."))}
    assert {k: v.shape for k, v in ours.items()} == {k: v.shape for k, v in backbone.items()}


def test_the_named_layer_of_a_resnet_is_there():
    with torch.device("meta"):
        backbone = build_backbone(spec("resnet34", 64))
    assert isinstance(backbone.get_submodule("layer4.2.bn2"), nn.BatchNorm2d)


@pytest.mark.parametrize("name", NETWORKS)
def test_feature_map_at_the_minimum_size(name):
    for channels in (1, 3) if name in {"plain", "vgg11", "resnet18"} else (5,):
        size = minimum_image_size(spec(name))
        with torch.device("meta"):
            backbone = build_backbone(spec(name, size, channels))
            features = backbone(torch.zeros(2, channels, size, size))
        assert features.shape[:2] == (2, backbone.n_features)
        assert min(features.shape[2:]) >= 1


def test_small_stem_by_image_size():
    with torch.device("meta"):
        small, middle, large = (build_backbone(spec("resnet18", size)) for size in (28, 48, 128))
        assert small(torch.zeros(1, 3, 28, 28)).shape[2:] == (4, 4)
        assert middle(torch.zeros(1, 3, 48, 48)).shape[2:] == (3, 3)
        assert large(torch.zeros(1, 3, 128, 128)).shape[2:] == (4, 4)
    assert (small.conv1.kernel_size, small.conv1.stride) == ((3, 3), (1, 1))
    assert isinstance(small.maxpool, nn.Identity)
    assert isinstance(middle.maxpool, nn.MaxPool2d)
    assert large.conv1.kernel_size == (7, 7)


def test_the_stem_that_was_chosen_is_written_in_the_spec():
    assert spec("resnet18", 28).small_stem is True
    assert spec("resnet18", 224).small_stem is False
    assert spec("resnet18", 64).small_stem is False
    assert spec("resnet18", 64, small_stem=True).small_stem is True
    assert spec("vgg11", 32).small_stem is None


def test_no_activation_works_in_place():
    with torch.device("meta"):
        backbones = [build_backbone(spec(name)) for name in ("resnet18", "vgg11", "plain")]
    for backbone in backbones:
        assert not any(getattr(module, "inplace", False) for module in backbone.modules())


def test_features_of_a_vgg_without_norm_keep_their_size_at_the_start():
    torch.manual_seed(0)
    backbone = build_backbone(spec("vgg11", 32, 1))
    with torch.no_grad():
        features = backbone(torch.randn(8, 1, 32, 32))
    assert 0.3 < features.pow(2).mean().sqrt() < 5


def test_plain_blocks_give_what_they_say():
    blocks = [
        Block(channels=4, kernel=5, stride=2, padding=1, padding_mode="mirror", norm="group"),
        Block(
            channels=6, activation="gelu", pooling="average", norm="instance", padding_mode="wrap"
        ),
        Block(channels=8, kernel=2, padding=0, activation="prelu", pooling="none", norm="none"),
    ]
    backbone = build_backbone(spec("plain", 32, 2, blocks=blocks))
    assert backbone(torch.randn(3, 2, 32, 32)).shape == (3, 8, 2, 2)
    assert backbone.n_features == 8


def test_minimum_size_of_plain_blocks_is_tight():
    for block in (
        {"kernel": 7, "padding": 0},
        {"kernel": 9, "padding_mode": "mirror", "pooling": "none"},
        {"kernel": 9, "padding_mode": "wrap", "norm": "none"},
        {"norm": "instance"},
    ):
        least = minimum_image_size(spec("plain", 32, 1, blocks=[{"channels": 2, **block}] * 2))
        backbone = build_backbone(spec("plain", 32, 1, blocks=[{"channels": 2, **block}] * 2))
        assert backbone(torch.randn(2, 1, least, least)).shape[2] >= 1
        with pytest.raises((RuntimeError, ValueError)):
            backbone(torch.randn(2, 1, least - 1, least - 1))


@pytest.mark.slow
def test_timm_network_gives_a_feature_map():
    pytest.importorskip("timm")
    backbone = build_backbone(spec("timm:resnet10t", 32, 2))
    features = backbone(torch.randn(2, 2, 32, 32))
    assert features.shape == (2, backbone.n_features, 1, 1)
    with pytest.raises(PlanError, match='Did you mean "resnet10t"'):
        build_backbone(spec("timm:resnet10"))
    with pytest.raises(PlanError, match="images of 32 pixels"):
        build_backbone(spec("timm:vit_tiny_patch16_224"))
    with pytest.raises(PlanError, match="no feature map"):
        build_backbone(spec("timm:vit_tiny_patch16_224", 224))


def test_without_timm_the_message_gives_the_install_line(monkeypatch):
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(MissingPackage, match=r'pip install "pellucid\[timm\]"'):
        build_backbone(spec("timm:resnet10t"))


# --- pretrained weights -------------------------------------------------------------------------


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file like the published ones: torchvision's whole resnet18, classifier included."""
    path = tmp_path_factory.mktemp("weights") / "resnet18.pth"
    torch.manual_seed(0)
    torch.save(torchvision.models.resnet18().state_dict(), path)
    return path


def load(path: Path, network: NetworkSpec) -> tuple[nn.Module, weights.LoadedWeights]:
    backbone = build_backbone(network)
    return backbone, weights.load_weights(backbone, str(path), network.name)


def test_a_published_file_fits_without_its_classifier(published):
    backbone, loaded = load(published, spec("resnet18", 224))
    theirs = torch.load(published, weights_only=True)
    assert loaded.n_loaded == 100
    assert loaded.fresh == loaded.unused == ()
    assert torch.equal(backbone.layer4[1].conv2.weight, theirs["layer4.1.conv2.weight"])


@pytest.mark.parametrize("channels", [1, 2, 3, 5])
def test_equal_channels_see_what_a_grey_rgb_image_would(published, channels):
    reference, _ = load(published, spec("resnet18", 128))
    backbone, loaded = load(published, spec("resnet18", 128, channels))
    image = torch.randn(1, 1, 128, 128)
    with torch.no_grad():
        expected = reference.conv1(image.repeat(1, 3, 1, 1))
        got = backbone.conv1(image.repeat(1, channels, 1, 1))
    torch.testing.assert_close(got, expected, rtol=1e-4, atol=1e-5)
    assert loaded.adapted == ("" if channels == 3 else "conv1")


def test_the_small_stem_starts_fresh_and_says_so(published):
    _, loaded = load(published, spec("resnet18", 48, 1))
    assert loaded.fresh == ("conv1.weight",)
    assert "conv1.weight" in loaded.describe()


def test_safetensors_wrapped_names_and_half_precision(published, tmp_path):
    state = {f"module.{k}": v.half() for k, v in torch.load(published, weights_only=True).items()}
    save_file(
        {k: v.float() if "num_batches" in k else v for k, v in state.items()},
        tmp_path / "w.safetensors",
    )
    backbone, loaded = load(tmp_path / "w.safetensors", spec("resnet18", 224))
    assert loaded.n_loaded == 100
    assert backbone.conv1.weight.dtype == torch.float32


def test_a_checkpoint_with_a_state_dict_inside(published, tmp_path):
    state = torch.load(published, weights_only=True)
    torch.save({"epoch": 3, "state_dict": state}, tmp_path / "w.pt")
    assert load(tmp_path / "w.pt", spec("resnet18", 224))[1].n_loaded == 100


def test_weights_of_another_network_are_refused_with_the_first_mismatches(published):
    with pytest.raises(
        BundleError, match=r"fits .* of the backbone's .* First mismatches: .*layer"
    ):
        load(published, spec("resnet50", 224))


def test_values_that_are_not_finite_are_refused(published, tmp_path):
    state = torch.load(published, weights_only=True)
    state["layer1.0.conv1.weight"][0] = torch.nan
    torch.save(state, tmp_path / "w.pth")
    with pytest.raises(BundleError, match=r"not finite in layer1\.0\.conv1\.weight"):
        load(tmp_path / "w.pth", spec("resnet18", 224))


class Bomb:
    def __reduce__(self):
        return (Path.touch, (Path("exploded"),))


def test_a_pickle_is_never_executed(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    torch.save({"conv1.weight": Bomb()}, "w.pth")
    with pytest.raises(BundleError, match="not a readable weights file"):
        weights.read_weights("w.pth")
    assert not Path("exploded").exists()


@pytest.mark.parametrize("name", ["w.pth", "w.pt", "w.safetensors"])
@pytest.mark.parametrize("content", [b"", b"not weights", b"\xff" * 64])
def test_damaged_files_are_refused(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(BundleError, match="not a readable weights file"):
        weights.read_weights(tmp_path / name)


def test_a_truncated_file_is_refused(published, tmp_path):
    (tmp_path / "w.pth").write_bytes(published.read_bytes()[:100_000])
    with pytest.raises(BundleError, match="not a readable weights file"):
        weights.read_weights(tmp_path / "w.pth")


def test_other_mistakes_with_files(published, tmp_path, monkeypatch):
    with pytest.raises(UsageError, match=r"There is no weights file"):
        weights.read_weights(tmp_path / "absent.pth")
    with pytest.raises(UsageError, match=r"ends in \.safetensors"):
        weights.read_weights(tmp_path / "w.bin")
    torch.save([1, 2], tmp_path / "list.pt")
    with pytest.raises(BundleError, match="holds no tensors"):
        weights.read_weights(tmp_path / "list.pt")
    monkeypatch.setattr(weights, "MAX_BYTES", 1000)
    with pytest.raises(BundleError, match="at most"):
        weights.read_weights(published)


@pytest.fixture
def offline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """No connection, and an empty torch hub cache, whose folder is given."""

    def refuse(*_args: object, **_options: object) -> None:
        raise urllib.error.URLError("no route to host")

    monkeypatch.setattr(weights.urllib.request, "urlopen", refuse)
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    return tmp_path


@pytest.mark.parametrize("name", ["resnet18", "vgg11", "vgg16_bn", "timm:resnet10t"])
def test_imagenet_offline_ends_at_once_with_what_to_do(offline, name):
    if name.startswith("timm:"):
        pytest.importorskip("timm")
    start = time.monotonic()
    with pytest.raises(UsageError, match=r"no route to host.*--weights FILE"):
        weights.imagenet_weights(name)
    assert time.monotonic() - start < 10
    assert not list(offline.glob("checkpoints/*"))


def test_a_name_server_that_hangs_is_not_waited_for(offline, monkeypatch):
    monkeypatch.setattr(weights, "CONNECT_SECONDS", 0.1)
    monkeypatch.setattr(weights, "_GRACE_SECONDS", 0.1)
    monkeypatch.setattr(weights.urllib.request, "urlopen", lambda *_, **__: time.sleep(3))
    start = time.monotonic()
    with pytest.raises(UsageError, match="no answer"):
        weights.imagenet_weights("resnet18")
    assert time.monotonic() - start < 2


def test_imagenet_takes_the_file_already_in_the_cache(offline, published):
    (offline / "checkpoints").mkdir()
    (offline / "checkpoints" / "resnet18-f37072fd.pth").write_bytes(published.read_bytes())
    backbone = build_backbone(spec("resnet18", 224, 1))
    assert weights.load_weights(backbone, "imagenet", "resnet18").n_loaded == 100


def test_a_damaged_download_is_not_kept(offline, monkeypatch):
    source = offline / "source"
    source.write_bytes(b"half a file")
    monkeypatch.setattr(weights.urllib.request, "urlopen", lambda *_, **__: source.open("rb"))
    with pytest.raises(UsageError, match="the download is damaged"):
        weights.imagenet_weights("resnet18")
    assert not list(offline.glob("checkpoints/*"))


def test_plain_has_no_published_weights():
    with pytest.raises(UsageError, match="no published ImageNet weights for 'plain'"):
        weights.imagenet_weights("plain")
