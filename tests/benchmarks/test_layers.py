"""Where a network's time goes: equal layers are one line, and lines have both formats beside each other."""

from benchmarks.layers import Layer, table

FINE, COARSE = Layer("Convolution", (8, 8), 4096), Layer("Convolution", (16, 16), 512)
UP = Layer("Deconvolution", (16, 8), 4096)


def test_layers_stand_by_resolution_and_times_beside_each_other():
    slow = {FINE: 30.0, COARSE: 10.0, UP: 8.0, Layer("MaxPool", (8, 8), 512): 2.0}
    fast = {FINE: 6.0, COARSE: 2.0, UP: 2.0}
    assert table({"f32": slow, "bf16": fast}) == [
        ("4,096", "convolution", "8 and 8", "30.0", "60%", "6.0", "60%", "5.0"),
        ("4,096", "upsampling and convolution", "16 and 8", "8.0", "16%", "2.0", "20%", "4.0"),
        ("512", "convolution", "16 and 16", "10.0", "20%", "2.0", "20%", "5.0"),
        ("512", "others", "", "2.0", "4%", "", "", ""),
        ("all", "", "", "50.0", "100%", "10.0", "100%", "5.0"),
    ]


def test_with_one_format_there_is_no_ratio():
    assert table({"f32": {FINE: 3.0}}) == [
        ("4,096", "convolution", "8 and 8", "3.0", "100%"),
        ("all", "", "", "3.0", "100%"),
    ]
