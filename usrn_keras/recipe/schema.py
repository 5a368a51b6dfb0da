"""Sections and keys of a recipe, each with its type, range and description."""

from __future__ import annotations

from functools import cache
from typing import Annotated, Literal

import pydantic
from pydantic import Field

from usrn_keras.recipe.method_options import METHOD_OPTIONS, MethodOptions
from usrn_keras.recipe.section import Section

OTHER_METHODS = [name for name in METHOD_OPTIONS if name != "usrn"]

Positive = Annotated[int, Field(gt=0)]
Batch = Annotated[int, Field(ge=2)]  # batch normalisation of pooled features needs more than one value
Fraction = Annotated[float, Field(ge=0, le=1)]
Seed = Annotated[int, Field(ge=0, lt=2**32)]  # what NumPy's generators take
Scale = Annotated[float, Field(gt=0)]


class DataSection(Section):
    """Which images and masks to read."""

    dataset: Literal["quickstart", "folder", "camvid", "voc", "cityscapes"] = Field(
        description="Layout of the data set."
    )
    root: str = Field(
        "",
        description="Folder of the data set, relative to the working directory; a root that is `.` or begins "
        "with `./` or `../` is relative to the recipe file. Empty: default folder (only for `quickstart`).",
    )
    split: str = Field(
        "",
        description="Name of a shipped split, such as 1_8; folder written by `usrn split`; or list file of "
        "the labelled images. Empty: the keys labelled, unlabelled, val and test.",
    )
    split_seed: Seed = Field(0, description="Number of the random split of that name (camvid).")
    labels: Literal["split", "all"] = Field(
        "split",
        description="Masks used for training: of the labelled images (split), or of the unlabelled images "
        "too, where they exist (all: the Oracle).",
    )
    images: str = Field(
        "images", description="Folder of the images, relative to the root (folder data sets)."
    )
    masks: str = Field("masks", description="Folder of the masks, relative to the root (folder data sets).")
    val_images: str = Field(
        "", description="Folder of the validation images, if separate (folder data sets)."
    )
    val_masks: str = Field("", description="Folder of the validation masks; required with val_images.")
    test_images: str = Field("", description="Folder of the test images, if separate (folder data sets).")
    test_masks: str = Field("", description="Folder of the test masks; required with test_images.")
    image_pattern: str = Field(
        "{name}",
        description="File name of an image without suffix, such as {name}_rgb; a folder before it, as in "
        "rgb/{name}, is left out of the name (folder data sets).",
    )
    mask_pattern: str = Field(
        "{name}",
        description="File name of a mask without suffix, such as {name}_mask or mask/{name} (folder data "
        "sets).",
    )
    classes: list[str] = Field(
        [], description="Class names in the order of their ids. Empty: read from classes.txt in the root."
    )
    mask_format: Literal["ids", "colours"] = Field(
        "ids",
        description="Encoding of the masks: ids (grey values or palette indices), or the colours in "
        "palette.txt in the root (colours).",
    )
    mask_ids: list[Annotated[int, Field(ge=0, le=65535)]] = Field(
        [], description="Mask value of each class, such as [0, 255]. Empty: 0, 1, 2, ..."
    )
    mask_threshold: int = Field(
        -1,
        ge=-1,
        le=65534,
        description="Masks of two classes with values between, such as JPEGs: larger values are the second "
        "class, such as 127 (folder data sets). -1: masks contain ids or colours.",
    )
    value_range: list[Annotated[int, Field(ge=-32768, le=65535)]] = Field(
        [],
        description="Values of 16-bit images that become black and white, such as [0, 4095], for all images; "
        "8-bit images are not changed. Empty: the upper eight bits.",
    )
    bands: list[int | str] = Field(
        [],
        description="Bands of the image files that the network receives, in this order: the names of all "
        "bands, such as ['red', 'green', 'blue', 'nir']; or NAME=NUMBER or NUMBER of those to use, such as "
        "['red=3', 'green=2', 'blue=1', 8]. Empty: red, green and blue.",
    )
    labelled: str = Field("", description="List file of the labelled images. Empty: all images with a mask.")
    unlabelled: str = Field(
        "", description="List file of the unlabelled images. Empty: all images without a mask."
    )
    val: str = Field("", description="List file of the validation images.")
    test: str = Field("", description="List file of the test images.")
    ignore_index: int = Field(
        255, ge=-1, le=65535, description="Mask value of pixels without a class. -1: every pixel has a class."
    )
    ignore_colours: list[list[Annotated[int, Field(ge=0, le=255)]]] = Field(
        [], description="Colours [RED, GREEN, BLUE] of pixels without a class, for mask_format = 'colours'."
    )
    workers: int = Field(
        2, ge=0, le=256, description="Number of threads that read images. 0: read in the main thread."
    )


class NetworkSection(Section):
    """The two-branch network."""

    architecture: Literal["", "keras_cv/deeplab_v3_plus"] = Field(
        "", description="Complete network of a supplier. Empty: built from backbone and decoder."
    )
    backbone: Literal[
        "",
        "keras/mobilenet",
        "keras/resnet50",
        "keras/resnet101",
        "keras/resnet152",
        "keras/mobilenetv2",
        "keras/resnet50v2",
        "keras/resnet101v2",
        "keras/resnet152v2",
        "keras/xception",
        "keras/efficientnetb0",
        "keras/efficientnetb1",
        "keras/efficientnetb2",
        "keras/efficientnetb3",
        "keras/efficientnetb4",
        "keras/efficientnetb5",
        "keras/efficientnetb6",
        "keras/efficientnetb7",
        "keras/efficientnetv2b0",
        "keras/efficientnetv2b1",
        "keras/efficientnetv2b2",
        "keras/efficientnetv2b3",
        "keras/efficientnetv2s",
        "keras/efficientnetv2m",
        "keras/efficientnetv2l",
        "keras/convnexttiny",
        "keras/convnextsmall",
        "keras/convnextbase",
        "keras/convnextlarge",
        "keras/convnextxlarge",
        "keras/mobilenetv3small",
        "keras/mobilenetv3large",
        "keras/densenet121",
        "keras/densenet169",
        "keras/densenet201",
        "keras_cv/resnet14",
        "keras_cv/resnet18",
        "keras_cv/resnet26",
        "keras_cv/resnet34",
        "keras_cv/resnet50",
        "keras_cv/resnet101",
        "keras_cv/resnet152",
        "keras_hub/resnet_18",
        "keras_hub/resnet_50",
        "keras_hub/resnet_101",
        "keras_hub/resnet_152",
        "keras_hub/mit_b0",
        "keras_hub/mit_b1",
        "keras_hub/mit_b2",
        "keras_hub/mit_b3",
        "keras_hub/mit_b4",
        "keras_hub/mit_b5",
        "keras_hub/dinov2_small",
        "keras_hub/dinov2_base",
        "keras_hub/dinov2_large",
        "keras_hub/dinov3_small",
        "keras_hub/dinov3_base",
        "keras_hub/dinov3_large",
        "keras_hub/vit_det_base",
        "keras_hub/vit_det_large",
        "torchvision/resnet18",
        "torchvision/resnet34",
        "torchvision/resnet50",
        "torchvision/resnet101",
        "torchvision/resnet152",
        "usrn/resnet14",
    ] = Field("", description="Backbone as SUPPLIER/NAME, such as keras_cv/resnet50; required.")
    weights: str = Field(
        "imagenet",
        description="Initial weights of the backbone: imagenet, none, or the path of a .weights.h5, .h5, "
        ".keras, .safetensors or .pth file; for a keras_hub backbone imagenet (ResNets), none, the name of a "
        "preset of keras-hub, or its folder.",
    )
    width: float = Field(1.0, gt=0, le=4, description="Multiplier for the channels of the backbone.")
    frozen: Literal["none", "stem", "backbone"] = Field(
        "none",
        description="Part of the backbone that keeps its weights and the statistics of its batch "
        "normalisation: none, the layers up to the low-level features (stem), or all of it (backbone).",
    )
    lora_rank: int = Field(
        0,
        ge=0,
        description="Rank of the low-rank adapters (LoRA) that are trained in the layers of a frozen "
        "backbone: its dense layers and ordinary convolutions. 0: none.",
    )
    backbone_end: str = Field(
        "", description="Name of the last backbone layer to use. Empty: the whole backbone."
    )
    output_stride: Literal[8, 16, 32] = Field(16, description="Stride of the deepest features.")
    decoder: Literal["deeplab_v3_plus", "pspnet", "psanet"] = Field(
        "deeplab_v3_plus",
        description="Decoder of each branch. It uses the keys whose description names it; the others are "
        "ignored.",
    )
    sharing: Literal["none", "low", "low_high"] = Field(
        "low",
        description="Layers shared by the two branches: none, stem and first stage (low), or the whole "
        "backbone (low_high).",
    )
    aspp_rates: list[Positive] = Field(
        [6, 12, 18], description="Dilation rates of the ASPP (deeplab_v3_plus)."
    )
    aspp_channels: Positive = Field(256, description="Channels of each ASPP branch (deeplab_v3_plus).")
    low_level_channels: Positive = Field(
        48, description="Channels of the reduced low-level features (deeplab_v3_plus)."
    )
    dropout: float = Field(0.5, ge=0, lt=1, description="Dropout rate in ASPP and decoder (deeplab_v3_plus).")
    psp_bins: list[Positive] = Field(
        [1, 2, 3, 6],
        min_length=1,
        description="Number of pooling regions along each side of the feature map, for each pyramid level "
        "(pspnet).",
    )
    psa_channels: Positive = Field(512, description="Channels of each attention branch (psanet).")
    psa_shrink: Positive = Field(2, description="Downsampling factor of the attention map (psanet).")
    psa_mask: int = Field(
        0,
        ge=0,
        description="Height and width of the over-complete attention map; must be odd. 0: covers a crop "
        "(psanet).",
    )
    decoder_channels: Positive = Field(256, description="Channels of the feature map before the classifier.")
    classifier_dropout: float = Field(0.1, ge=0, lt=1, description="Dropout rate before the classifier.")
    batch_norm_momentum: float = Field(
        0.9, ge=0, lt=1, description="Momentum of the moving statistics of batch normalisation."
    )


class SubclassesSection(Section):
    """How classes are split into subclasses of equal size."""

    size_factor: float = Field(1.0, gt=0, description="Cluster size in units of the smallest class.")
    counts: list[Positive] = Field(
        [], description="Number of subclasses of each class. Empty: computed from the class sizes."
    )
    max_subclasses: Positive = Field(256, description="Maximum number of subclasses of a class.")
    engine: Literal["balanced_kmeans", "k_means_constrained"] = Field(
        "balanced_kmeans",
        description="What makes clusters of equal size: the k-means of this package (balanced_kmeans), or "
        "the package k-means-constrained (k_means_constrained), which clusters a sample of a class above "
        "20000 feature pixels.",
    )
    assignment: Literal["balanced", "free", "constrained"] = Field(
        "balanced",
        description="Clusters of equal size (balanced), plain k-means (free), or the same as engine = "
        "'k_means_constrained' (constrained).",
    )
    sample_rows: int = Field(
        0,
        ge=0,
        description="Feature rows per class used to fit the centroids. 0: 2048 per cluster, at least 65536; "
        "10000 with engine = 'k_means_constrained'.",
    )
    starts: int = Field(
        0,
        ge=0,
        description="Random starts of the clustering of a class: a few steps on few rows each, then the best "
        "is continued. 0: 4, and 1 with assignment = 'free'. More can find a lower sum of squares in a class "
        "of few rows and cost that many first steps; not read by 'k_means_constrained'.",
    )
    seed: Seed = Field(0, description="Random seed of the clustering and of the sampling by rows_per_image.")
    rows_per_image: int = Field(
        0,
        ge=0,
        description="Maximum number of feature pixels per class and image that are clustered. 0: all.",
    )
    batch: Positive = Field(
        1, description="Number of images of equal size in a batch when features are extracted."
    )


class ViewsSection(Section):
    """Crops and augmentation of training images."""

    crop_size: int = Field(
        320,
        gt=0,
        multiple_of=32,
        description="Height and width of a training crop in pixels; a multiple of 32.",
    )
    long_side: Positive = Field(400, description="Long side of an image at scale 1 in pixels.")
    scale_labelled: list[Scale] = Field(
        [0.5, 2.0],
        min_length=2,
        max_length=2,
        description="Smallest and largest random scale of labelled images.",
    )
    scale_unlabelled: list[Scale] = Field(
        [0.8, 2.0],
        min_length=2,
        max_length=2,
        description="Smallest and largest random scale of unlabelled images.",
    )
    flip: Fraction = Field(0.5, description="Probability of a horizontal flip.")
    labelled_jitter: bool = Field(False, description="Whether colour jitter is applied to labelled images.")
    source: Literal["images", "features", "cached_features"] = Field(
        "images",
        description="What training crops are cut from: images; the features of whole images that a frozen "
        "backbone computes in every step (features); or those that it has computed once, in files of the run "
        "folder (cached_features).",
    )
    strong: Literal["device", "keras_cv", "random_intensity", "feature_dropout", "none"] = Field(
        "device",
        description="Strong views: jitter, grayscale and blur in the training step (device) or by keras-cv "
        "layers in a tf.data pipeline (keras_cv); one to three random changes of intensity as in AugSeg, "
        "on the host, without other keys (random_intensity); half of the channels of the features dropped, "
        "for a source of features (feature_dropout); or none.",
    )
    jitter: list[Annotated[float, Field(ge=0)]] = Field(
        [0.4, 0.4, 0.4, 0.1],
        min_length=4,
        max_length=4,
        description="Strength of the colour jitter: brightness, contrast, saturation, hue.",
    )
    jitter_probability: Fraction = Field(0.8, description="Probability of colour jitter in a strong view.")
    grayscale_probability: Fraction = Field(
        0.2, description="Probability of conversion to grayscale in a strong view."
    )
    blur_probability: Fraction = Field(
        0.5, description="Probability of the 5x5 Gaussian blur in a strong view."
    )


class TrainingSection(Section):
    """Method, optimizer and schedule of all training stages."""

    method: str = Field(
        "usrn",
        description=f"Method to train: usrn (the paper), {', '.join(OTHER_METHODS)}, or MODULE:CLASS. Its "
        "options are in the section of the same name; supervised is the Baseline alone.",
    )
    with_usrn: bool = Field(
        False,
        description="Whether USRN is put on top of the method: every network has an F_sub, which corrects "
        "the labels it teaches; [usrn] has its options.",
    )
    baseline_steps: Positive = Field(description="Number of training steps of the Baseline.")
    usrn_steps: Positive = Field(
        description="Number of training steps of the method that follows the Baseline."
    )
    batch_labelled: Batch = Field(8, description="Number of labelled images in a batch.")
    batch_unlabelled: Batch = Field(8, description="Number of unlabelled images in a batch.")
    optimizer: Literal["sgd", "adamw"] = Field(
        "sgd",
        description="Optimizer: sgd (the paper), or adamw, which needs fewer steps (with a learning_rate of "
        "0.001 to 0.003 and a weight_decay of 0.01).",
    )
    learning_rate: float = Field(
        0.01, gt=0, description="Initial learning rate of ASPP, decoder and classifier."
    )
    usrn_learning_rate: float = Field(
        0.0,
        ge=0,
        description="Initial learning rate of the method that follows the Baseline; lower for start = "
        "'baseline'. 0: learning_rate.",
    )
    backbone_multiplier: float = Field(0.1, ge=0, description="Factor on learning_rate for the backbone.")
    layer_decay: float = Field(
        1.0,
        gt=0,
        le=1,
        description="Factor on the learning rate of the backbone from each of 12 groups of its layers to the "
        "next lower one, besides backbone_multiplier. 1: one rate for the whole backbone.",
    )
    momentum: float = Field(0.9, ge=0, lt=1, description="Momentum of sgd; beta_1 of adamw.")
    weight_decay: float = Field(
        1e-4,
        ge=0,
        description="Weight decay: coupled (added to the gradient) for sgd; decoupled, on kernels only, for "
        "adamw.",
    )
    poly_power: float = Field(
        0.9, ge=0, description="Exponent of the schedule learning_rate * (1 - t/T)^poly_power."
    )
    start: Literal["imagenet", "baseline"] = Field(
        "imagenet",
        description="Initial weights of the method that follows the Baseline: backbone weights (imagenet, "
        "the paper), or the trained Baseline (baseline).",
    )
    accumulation: Positive = Field(1, description="Number of batches per update.")
    batch_norm: Literal["global", "local"] = Field(
        "global",
        description="Statistics of batch normalisation on several devices, of the whole batch (global) or of "
        "the images of each (local), which is faster over a network; the result then depends on the number "
        "of devices.",
    )
    precision: Literal["float32", "mixed_bfloat16"] = Field(
        "float32", description="Precision of the computation; variables and logits are always float32."
    )
    seed: Seed = Field(0, description="Random seed of initial weights, order of images, views and dropout.")
    deterministic: bool = Field(
        False,
        description="Whether a GPU repeats a run to the bit, with slower kernels; a CPU always does.",
    )
    checkpoint_seconds: Positive = Field(300, description="Maximum time between checkpoints in seconds.")
    log_every: Positive = Field(20, description="Number of steps between lines in metrics.jsonl.")


class EvaluationSection(Section):
    """How a trained model is evaluated."""

    split: Literal["val", "test"] = Field("val", description="Images that evaluation.json reports on.")
    every: int = Field(
        0,
        ge=0,
        description="Number of steps between evaluations on val, which also run after the last step. 0: no "
        "evaluation during training.",
    )
    batch: Positive = Field(1, description="Number of images of equal size, or windows, in a batch.")
    mode: Literal["whole", "slide"] = Field(
        "whole",
        description="Prediction on whole images (whole), or on sliding windows of views.crop_size (slide).",
    )
    overlap: float = Field(
        0.33,
        ge=0,
        lt=1,
        description="Overlap of neighbouring windows as a share of their width (mode = 'slide').",
    )
    flip: bool = Field(
        False, description="Whether predictions are averaged with those on the mirrored image."
    )
    scales: list[Scale] = Field(
        [1.0], min_length=1, description="Image scales whose predictions are averaged."
    )
    checkpoint: Literal["last", "best"] = Field(
        "last",
        description="Weights to evaluate: after the last step (last), or the best on val (best, which needs "
        "evaluation.every).",
    )
    diagnosis: int = Field(
        -1,
        ge=-1,
        description="Number of steps between checks of pseudo labels on some unlabelled images, shown in "
        "report/index.html. 0: never. -1: about ten checks that take at most 2 % of the training time.",
    )


class Recipe(Section):
    """A complete recipe. `recipe_class` adds the section with the options of its method.

    Attributes:
        name: Name of the recipe, taken from its file name.
    """

    name: str = Field("", exclude=True)
    data: DataSection
    network: NetworkSection
    subclasses: SubclassesSection = SubclassesSection()
    views: ViewsSection = ViewsSection()
    training: TrainingSection
    evaluation: EvaluationSection = EvaluationSection()

    @property
    def options(self) -> MethodOptions | None:
        """Options of the method; None for a method without options."""
        return getattr(self, options_section(self.training.method), None)


def options_section(method: str) -> str:
    """Return the name of the section with the options of a method.

    Example:

    >>> options_section("usrn"), options_section("my_package.my_method:MyMethod")
    ('usrn', 'my_method')
    """
    module, colon, _ = method.partition(":")
    return module.rpartition(".")[2] if colon else method


@cache
def recipe_class(*options: tuple[str, type[MethodOptions]]) -> type[Recipe]:
    """Build the recipe class for sections with options.

    Args:
        *options: Name and class of each section with options: of the method, and of USRN on top.
    """
    if not options:
        return Recipe
    fields = {name: (section, section()) for name, section in options}
    return pydantic.create_model("Recipe", __base__=Recipe, **fields)


def common_sections() -> dict[str, type[Section]]:
    """Return the sections of every recipe by name."""
    return {name: field.annotation for name, field in Recipe.model_fields.items() if name != "name"}


def all_sections() -> dict[str, type[Section]]:
    """Return the sections of every recipe and of every built-in method by name."""
    options = {name: section for name, section in METHOD_OPTIONS.items() if section is not None}
    return common_sections() | options
