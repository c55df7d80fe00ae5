"""Score refinement starts as identity and then mixes classes with tags."""

import torch

from osln.networks.mulan_refinement import Refinement


def test_refinement_starts_as_identity():
    classes, tags = torch.randn(3, 2), torch.randn(3, 171)

    refined_classes, refined_tags = Refinement()(classes, tags)

    assert torch.equal(refined_classes, classes)
    torch.testing.assert_close(refined_tags, tags)


def test_a_tag_can_raise_the_score_of_a_node_and_a_class_that_of_a_tag():
    layer = Refinement()
    with torch.no_grad():
        layer.classes.weight[1, 2 + 7] = 0.5  # tag 7 speaks for a node
        layer.tags.weight[7, 1] = 2.0  # a node speaks for tag 7
    classes, tags = torch.tensor([[0.0, 1.0]]), torch.zeros(1, 171)
    tags[0, 7] = 4.0

    refined_classes, refined_tags = layer(classes, tags)

    assert refined_classes.tolist() == [[0.0, 1.0 + 0.5 * 4.0]]
    assert refined_tags[0, 7].item() == 4.0 + 2.0 * 1.0
