"""Which of several predictions finds a node: the two rules that a criterion can ask for."""

import numpy as np


def best_prediction(
    predicted: np.ndarray, touched: np.ndarray, scores: np.ndarray, n_nodes: int
) -> np.ndarray:
    """For each node the hitting prediction with the highest score, the first among equals.

    Args:
        predicted: (k,) prediction index of each hit.
        touched: (k,) node index of each hit.
        scores: Score of every prediction.
        n_nodes: Number of nodes.

    Returns:
        (n_nodes,) prediction index, -1 where no prediction hits.
    """
    found_by = np.full(n_nodes, -1)
    worst_first = np.lexsort((-predicted, scores[predicted]))
    found_by[touched[worst_first]] = predicted[worst_first]
    return found_by


def one_for_each(predicted: np.ndarray, touched: np.ndarray, scores: np.ndarray, n_nodes: int) -> np.ndarray:
    """As `best_prediction`, with at most one node for each prediction.

    The predictions choose by falling score, the first among equals first. One whose nodes are all found
    may send a better one to another node that it hits too, if nobody loses a node by that (Kuhn's
    augmenting paths). So at every score threshold as many nodes are found as any assignment can find,
    the same as the Hungarian method with the scores as gains.
    """
    found_by = np.full(n_nodes, -1)
    choices: dict[int, list[int]] = {}
    for prediction, node in zip(predicted.tolist(), touched.tolist(), strict=True):
        choices.setdefault(prediction, []).append(node)

    for first in sorted(choices, key=lambda one: (-scores[one], one)):
        tried: set[int] = set()
        # Who looks for a node, the next ones to ask, and what each would take: a chain may be long.
        asking, left = [first], [iter(choices[first])]
        taking: list[int] = []
        while asking:
            node = next((one for one in left[-1] if one not in tried), None)
            if node is None:
                asking.pop(), left.pop()
                if taking:
                    taking.pop()
                continue
            tried.add(node)
            taking.append(node)
            if found_by[node] < 0:
                found_by[taking] = asking
                break
            asking.append(int(found_by[node]))
            left.append(iter(choices[asking[-1]]))
    return found_by
