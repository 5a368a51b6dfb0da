"""The sections and keys of a recipe, each with its type, range and one line of documentation."""

from __future__ import annotations

from functools import cache
from typing import Annotated, Literal

import pydantic
from pydantic import Field

from usrn_keras.recipe.method_options import METHOD_OPTIONS, MethodOptions
from usrn_keras.recipe.section import Section

Positive = Annotated[int, Field(gt=0)]
Batch = Annotated[int, Field(ge=2)]  # one image has no variance that its pooled features could be scaled by
Fraction = Annotated[float, Field(ge=0, le=1)]
Scale = Annotated[float, Field(gt=0)]


class Data(Section):
    """Which images and masks to read."""

    dataset: Literal["quickstart", "folder", "camvid", "voc", "cityscapes"] = Field(
        description="layout of the data set"
    )
    root: str = Field(
        "",
        description="folder of the data set, from the working directory, or from that of the recipe where it "
        "is `.` or begins with `./` or `../`; `quickstart` makes its own when empty",
    )
    split: str = Field(
        "",
        description="a shipped split, such as 1_8; a folder that `usrn split` wrote; or a list file of the "
        "labelled images; empty: the lists below",
    )
    split_seed: int = Field(0, ge=0, description="which of the random splits of that name (camvid)")
    labels: Literal["split", "all"] = Field(
        "split",
        description="split: the masks of the labelled images; all: of the unlabelled images too, where they "
        "exist (the Oracle)",
    )
    images: str = Field("images", description="folder data sets: images, relative to the root")
    masks: str = Field("masks", description="folder data sets: masks, relative to the root")
    val_images: str = Field("", description="folder data sets: validation images that lie in a folder apart")
    val_masks: str = Field("", description="their masks; needed with val_images")
    test_images: str = Field("", description="folder data sets: test images that lie in a folder apart")
    test_masks: str = Field("", description="their masks; needed with test_images")
    image_pattern: str = Field(
        "{name}", description="folder data sets: file name of an image without suffix, such as {name}_rgb"
    )
    mask_pattern: str = Field(
        "{name}", description="folder data sets: file name of a mask without suffix, such as {name}_mask"
    )
    classes: list[str] = Field([], description="class names by id; empty: classes.txt of the root")
    mask_format: Literal["ids", "colours"] = Field(
        "ids", description="ids: grey values or palette indices; colours: those in palette.txt of the root"
    )
    mask_ids: list[Annotated[int, Field(ge=0, le=65535)]] = Field(
        [], description="mask value of each class, such as [0, 255]; empty: 0, 1, 2, ..."
    )
    labelled: str = Field("", description="list file of labelled images; empty: those with a mask")
    unlabelled: str = Field("", description="list file of unlabelled images; empty: those without")
    val: str = Field("", description="list file of the validation images")
    test: str = Field("", description="list file of the test images")
    ignore_index: int = Field(
        255, ge=-1, le=65535, description="mask value of pixels without a class; -1: there are none"
    )
    ignore_colours: list[list[Annotated[int, Field(ge=0, le=255)]]] = Field(
        [], description="mask_format colours: RED, GREEN, BLUE of pixels without a class"
    )
    workers: int = Field(2, ge=0, le=256, description="threads that read images; 0: none")


class Network(Section):
    """The two-branch network."""

    architecture: Literal[
        "",
        "keras_cv/deeplab_v3_plus",
        "keras_cv/segformer_b0",
        "keras_cv/segformer_b1",
        "keras_cv/segformer_b2",
        "keras_cv/segformer_b3",
        "keras_cv/segformer_b4",
        "keras_cv/segformer_b5",
    ] = Field("", description="a whole network as its supplier has it; empty: backbone and decoder below")
    backbone: Literal[
        "",
        "keras/mobilenet",
        "keras/resnet50",
        "keras/resnet101",
        "keras/resnet152",
        "keras_cv/resnet14",
        "keras_cv/resnet18",
        "keras_cv/resnet26",
        "keras_cv/resnet34",
        "keras_cv/resnet50",
        "keras_cv/resnet101",
        "keras_cv/resnet152",
    ] = Field("", description="SUPPLIER/NAME, such as keras_cv/resnet50; a segformer has its own")
    weights: str = Field("imagenet", description="imagenet, none, or the path of a weights file")
    width: float = Field(1.0, gt=0, le=4, description="multiplies the channels of the backbone")
    backbone_end: str = Field("", description="last layer of the backbone to use; empty: all of it")
    output_stride: Literal[8, 16, 32] = Field(16, description="stride of the deepest features")
    decoder: Literal["deeplab_v3_plus", "pspnet", "psanet"] = Field(
        "deeplab_v3_plus",
        description="decoder of a branch; it reads the keys that name it, and leaves those of the others",
    )
    sharing: Literal["none", "low", "low_high"] = Field(
        "low", description="what the branches share: nothing, stem and first stage, whole backbone"
    )
    aspp_rates: list[Positive] = Field([6, 12, 18], description="deeplab_v3_plus: dilation rates of the ASPP")
    aspp_channels: Positive = Field(256, description="deeplab_v3_plus: channels of each part of the ASPP")
    low_level_channels: Positive = Field(
        48, description="deeplab_v3_plus: channels the low-level features are cut to"
    )
    dropout: float = Field(0.5, ge=0, lt=1, description="deeplab_v3_plus: dropout in ASPP and decoder")
    psp_bins: list[Positive] = Field(
        [1, 2, 3, 6], min_length=1, description="pspnet: regions on each side of the map, for each mean"
    )
    psa_channels: Positive = Field(512, description="psanet: channels of each branch of attention")
    psa_shrink: Positive = Field(2, description="psanet: how many times smaller the map of the attention is")
    psa_mask: int = Field(
        0, ge=0, description="psanet: height and width of the over-completed maps, odd; 0: covers a crop"
    )
    decoder_channels: Positive = Field(256, description="channels of the map before the classifier")
    classifier_dropout: float = Field(0.1, ge=0, lt=1, description="dropout before the classifier")
    batch_norm_momentum: float = Field(0.9, ge=0, lt=1, description="of the moving statistics")


class Subclasses(Section):
    """How the classes are cut into subclasses of equal size."""

    size_factor: float = Field(1.0, gt=0, description="cluster size in units of the smallest class")
    counts: list[Positive] = Field([], description="subclasses of each class; empty: from the sizes")
    max_subclasses: Positive = Field(256, description="largest count for one class")
    assignment: Literal["balanced", "free"] = Field("balanced", description="free: plain k-means")
    sample_rows: int = Field(
        0,
        ge=0,
        description="rows per class that centroids are fitted on; 0: 2048 per cluster, at least 65536",
    )
    seed: int = Field(0, ge=0, description="random state of the clustering and of rows_per_image")
    rows_per_image: int = Field(
        0, ge=0, description="most feature pixels of a class that are clustered of one image; 0: all"
    )
    batch: Positive = Field(1, description="images of equal size whose features are extracted at once")


class Views(Section):
    """What the branches see."""

    crop_size: int = Field(
        320, gt=0, multiple_of=32, description="height and width of a training crop in pixels"
    )
    long_side: Positive = Field(400, description="long side of an image at scale 1 in pixels")
    scale_labelled: list[Scale] = Field(
        [0.5, 2.0], min_length=2, max_length=2, description="smallest and largest scale, labelled images"
    )
    scale_unlabelled: list[Scale] = Field(
        [0.8, 2.0], min_length=2, max_length=2, description="smallest and largest scale, unlabelled images"
    )
    flip: Fraction = Field(0.5, description="probability of a horizontal flip")
    labelled_jitter: bool = Field(False, description="colour jitter on labelled images, always on")
    strong: Literal["device", "keras_cv", "none"] = Field(
        "device",
        description="who makes the strong view: the training step, keras-cv's layers in a tf.data pipeline, "
        "or nobody",
    )
    jitter: list[Annotated[float, Field(ge=0)]] = Field(
        [0.4, 0.4, 0.4, 0.1], min_length=4, max_length=4, description="brightness, contrast, saturation, hue"
    )
    jitter_probability: Fraction = Field(0.8, description="of the colour jitter in a strong view")
    grayscale_probability: Fraction = Field(0.2, description="of losing all colour in a strong view")
    blur_probability: Fraction = Field(0.5, description="of the 5x5 Gaussian blur in a strong view")


class Training(Section):
    """Losses, optimizer and schedule of both stages."""

    method: str = Field(
        "usrn",
        description="method that is trained: usrn (the paper), self_training, prototype_ensemble, supervised "
        "(the Baseline alone), or MODULE:CLASS; its options are a section of the same name",
    )
    baseline_steps: Positive = Field(description="training steps of the Baseline")
    usrn_steps: Positive = Field(description="training steps of the method that follows the Baseline")
    batch_labelled: Batch = Field(8, description="labelled images in a batch")
    batch_unlabelled: Batch = Field(8, description="unlabelled images in a batch")
    optimizer: Literal["sgd", "adamw"] = Field(
        "sgd",
        description="sgd: the paper's; adamw: gets farther in few steps (with a learning_rate of 0.001 "
        "to 0.003, a weight_decay of 0.01)",
    )
    learning_rate: float = Field(0.01, gt=0, description="of ASPP, decoder and classifier at step 0")
    usrn_learning_rate: float = Field(
        0.0,
        ge=0,
        description="the same of the second stage; 0: learning_rate (one that goes on from the "
        "Baseline wants less)",
    )
    backbone_multiplier: float = Field(0.1, ge=0, description="times learning_rate for the backbone")
    momentum: float = Field(0.9, ge=0, lt=1, description="of sgd; beta_1 of adamw")
    weight_decay: float = Field(
        1e-4, ge=0, description="sgd: coupled, added to the gradient; adamw: decoupled, kernels only"
    )
    poly_power: float = Field(0.9, ge=0, description="learning_rate * (1 - t/T)^poly_power")
    start: Literal["imagenet", "baseline"] = Field(
        "imagenet", description="where USRN starts: backbone weights (the paper) or the Baseline"
    )
    accumulation: Positive = Field(1, description="batches per update")
    precision: Literal["float32", "mixed_bfloat16"] = Field(
        "float32", description="of the computation; variables and logits stay float32"
    )
    seed: int = Field(0, ge=0, description="of weights, order, views and dropout")
    checkpoint_seconds: Positive = Field(300, description="at most this long between checkpoints")
    log_every: Positive = Field(20, description="steps between two lines of metrics.jsonl")


class Evaluation(Section):
    """How a trained model is measured."""

    split: Literal["val", "test"] = Field("val", description="images that evaluation.json is about")
    every: int = Field(
        0, ge=0, description="evaluate on val each so many steps and at the last; 0: not while it trains"
    )
    batch: Positive = Field(1, description="images of equal size, or windows, predicted at once")
    mode: Literal["whole", "slide"] = Field(
        "whole", description="whole images at once, or windows of views.crop_size that slide over them"
    )
    overlap: float = Field(0.33, ge=0, lt=1, description="share of a window that its neighbour covers too")
    flip: bool = Field(False, description="average with the predictions on the mirrored image")
    scales: list[Scale] = Field([1.0], min_length=1, description="average over images of these sizes")
    checkpoint: Literal["last", "best"] = Field(
        "last", description="weights to measure: the last, or the best on val (needs evaluation.every)"
    )
    diagnosis: int = Field(
        -1,
        ge=-1,
        description="look at the pseudo labels of some unlabelled images each so many steps, see "
        "report/index.html; 0: never; -1: about ten times, for at most 2 % of the training",
    )


class Recipe(Section):
    """A whole recipe. `recipe_class` adds the section of its method, whose name is that of the method.

    Attributes:
        name: Name of the recipe, that of its file.
    """

    name: str = Field("", exclude=True)
    data: Data
    network: Network
    subclasses: Subclasses = Subclasses()
    views: Views = Views()
    training: Training
    evaluation: Evaluation = Evaluation()

    @property
    def options(self) -> MethodOptions | None:
        """The options of its method; None for a method without any."""
        return getattr(self, options_section(self.training.method), None)


def options_section(method: str) -> str:
    """Name of the section with the options of a method.

    Example:

    >>> options_section("usrn"), options_section("my_package.my_method:MyMethod")
    ('usrn', 'my_method')
    """
    module, colon, _ = method.partition(":")
    return module.rpartition(".")[2] if colon else method


@cache
def recipe_class(method: str, options: type[MethodOptions] | None) -> type[Recipe]:
    """The class of recipes with a method.

    Args:
        method: Value of `training.method`.
        options: Section with the options of the method; None without any.
    """
    if options is None:
        return Recipe
    return pydantic.create_model("Recipe", __base__=Recipe, **{options_section(method): (options, options())})


def common_sections() -> dict[str, type[Section]]:
    """The sections that every recipe has, by name."""
    return {name: field.annotation for name, field in Recipe.model_fields.items() if name != "name"}


def all_sections() -> dict[str, type[Section]]:
    """The sections of every recipe and of every method of this package, by name."""
    options = {name: section for name, section in METHOD_OPTIONS.items() if section is not None}
    return common_sections() | options
