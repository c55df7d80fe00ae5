"""Train the lesion tagger (LesaNet) on DeepLesion, on generated phantoms or on phantom cases of a store.

DeepLesion is taken as it is distributed: --deeplesion names the folder with DL_info.csv and Images_png,
--labels and --ontology the two files that LesaNet's authors distribute beside it. Lesions are cut out once
and kept in --work. A training that was interrupted goes on when the same command is given again.
"""

import argparse
import hashlib
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from osln.cli.options import (
    MODELS,
    SHIPPED_TAGGER,
    add_ct_spacing,
    add_out,
    add_threads,
    add_training,
    add_work,
    check_device,
    command,
)
from osln.cli.progress import each, steps
from osln.rows.presets import PRESETS
from osln.rows.tagger_recipe import TAGGER_RECIPES, TaggerRecipe

if TYPE_CHECKING:
    from osln.learning.fit import Progress
    from osln.tagging.deeplesion import DeepLesion
    from osln.tagging.lesion_set import LesionSet

OVERRIDES = ("width", "embedding", "epochs", "batch", "learning_rate")
STORE_VALIDATION = 5
"""Every so many cases of a store is for validation."""


def add_parser(commands: Any) -> None:
    """The options."""
    examples = (
        "--phantoms 60 --out lesanet.safetensors",
        "--deeplesion DeepLesion --labels text_mined_labels_171_and_split.json "
        "--ontology lesion_ontology_181022.xlsx --out lesanet.safetensors",
    )
    parser = command(commands, "train-tagger", __doc__, *examples)
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--deeplesion", type=Path, help="folder with DL_info.csv and Images_png")
    source.add_argument("--phantoms", type=int, metavar="N", help="learn from N generated phantoms")
    source.add_argument(
        "--store", type=Path, help="store with truth/<case>.json, as ./scripts/osln phantoms writes it"
    )
    parser.add_argument("--labels", type=Path, help="text_mined_labels_171_and_split.json")
    parser.add_argument("--ontology", type=Path, help="lesion_ontology_181022.xlsx")
    parser.add_argument("--judged", type=int, default=20, help="with --phantoms: further ones to judge by")
    add_ct_spacing(parser, "with --phantoms: voxel size in mm of the CT")
    goal = parser.add_mutually_exclusive_group(required=True)
    add_out(goal, "file to write (.safetensors)", required=False)
    goal.add_argument("--publish", action="store_true", help="store it as a version and put it into use")
    goal.add_argument("--ship", action="store_true", help="write the tagger that comes with the software")
    parser.add_argument("--models", type=Path, default=MODELS, help="with --publish: folder of the versions")
    parser.add_argument("--recipe", choices=TAGGER_RECIPES, help="(default: demo on phantoms, else paper)")
    parser.add_argument("--width", type=int, help="channels of the first block (default: the recipe's)")
    parser.add_argument("--embedding", type=int, help="length of the embedding (default: the recipe's)")
    parser.add_argument("--epochs", type=float, help="how often each lesion is seen (default: the recipe's)")
    parser.add_argument("--batch", type=int, help="lesions in a step (default: the recipe's)")
    parser.add_argument("--learning-rate", type=float, help="(default: the recipe's)")
    add_training(parser)
    add_threads(parser)
    add_work(parser)
    parser.set_defaults(run=run, goes_on=True)


def run(options: argparse.Namespace) -> int:
    """Collect lesions, train, write and tell what came out."""
    check_device(options.device)
    if options.deeplesion and not (options.labels and options.ontology):
        raise ValueError("--deeplesion needs --labels and --ontology, the files that come with LesaNet")
    if options.ct_spacing and options.phantoms is None:
        raise ValueError("--ct-spacing is about phantoms: leave it out, or give --phantoms N")
    if options.ship and options.phantoms is None:
        raise ValueError("only a tagger trained on generated phantoms is shipped: give --phantoms N")
    out = SHIPPED_TAGGER if options.ship else options.out or options.work / "lesanet.safetensors"
    if out is None:
        raise ValueError("there is no checkout around this installation to ship with: give --out FILE")
    train(options, recipe_of(options), out)
    return 0


def recipe_of(options: argparse.Namespace) -> TaggerRecipe:
    """The recipe with what the command line changes of it."""
    name = options.recipe or ("paper" if options.deeplesion else "demo")
    changes = {key: getattr(options, key) for key in OVERRIDES if getattr(options, key) is not None}
    return replace(TAGGER_RECIPES[name], **changes)


def train(options: argparse.Namespace, recipe: TaggerRecipe, output: Path) -> None:
    """Train, write `output`, put it where it is wanted and tell what came out."""
    from osln.tagging.tagger import PHANTOM, TRAINED, Tagger, publish_tagger, save_tagger
    from osln.tagging.training import train_tagger
    from osln.weights.model_store import ModelStore
    from osln.weights.shipped import ship_tagger, without_folders

    output.parent.mkdir(parents=True, exist_ok=True)
    learned, judged = lesion_sets(options)
    phantom = options.deeplesion is None
    resume = options.work / f"lesanet-{output.stem}.resume"
    with steps("LesaNet") as tell:

        def show(state: "Progress") -> None:
            tell(state.step, state.steps, {"loss": state.loss})

        trained = train_tagger(
            recipe,
            learned,
            judged,
            seed=options.seed,
            origin=PHANTOM if phantom else TRAINED,
            trained_on="phantom" if phantom else "DeepLesion",
            device=options.device,
            threads=options.threads,
            resume_path=resume,
            on_progress=show,
        )
    trained.metadata["command"] = without_folders(options.given)
    save_tagger(output, trained.network, trained.metadata, half=options.ship)
    resume.unlink(missing_ok=True)
    means = {name: value for name, value in trained.metadata["mean_auc"].items() if value is not None}
    found = ", ".join(f"{name} {value:.3f}" for name, value in means.items()) or "no tag could be judged"
    name: Path | str = output
    if options.ship:
        ship_tagger(output.parent, output, Tagger.load(output).describe())
    if options.publish:
        name = f"lesanet {publish_tagger(ModelStore(options.models), output, means.get('all')).name}"
        output.unlink()
    sys.stdout.write(
        f"{name}: learned from {len(learned)} lesions; mean AUC on {len(judged)} others: {found}\n"
    )


def lesion_sets(options: argparse.Namespace) -> "tuple[LesionSet, LesionSet]":
    """Lesions to learn from and to judge by."""
    from osln.cohorts.phantoms import FIRST_SEED, PhantomCohort
    from osln.tagging.deeplesion import DeepLesion
    from osln.tagging.lesion_set import LesionSet
    from osln.tagging.ontology import read_ontology
    from osln.tagging.phantom_lesions import cohort_lesions, store_cases, store_lesions

    if options.phantoms is not None:
        cohort = PhantomCohort(options.work, PRESETS["demo"], ct_spacing_mm=options.ct_spacing)
        first = FIRST_SEED["tagger"]
        middle = first + options.phantoms

        def of_seeds(name: str, seeds: range) -> LesionSet:
            cases = (f"phantom-{seed}" for seed in each(seeds, f"{name} phantoms"))
            return LesionSet.collect(lesion for case in cases for lesion in cohort_lesions(cohort, case))

        return of_seeds("training", range(first, middle)), of_seeds(
            "validation", range(middle, middle + options.judged)
        )
    if options.store is not None:
        cases = store_cases(options.store)
        judged = cases[STORE_VALIDATION - 1 :: STORE_VALIDATION]
        learned = [case for case in cases if case not in judged]
        return (
            LesionSet.collect(store_lesions(options.store, learned)),
            LesionSet.collect(store_lesions(options.store, judged)),
        )
    data = DeepLesion(
        options.deeplesion / "DL_info.csv",
        options.deeplesion / "Images_png",
        options.labels,
        read_ontology(options.ontology),
    )
    return kept(options.work, data, "train"), kept(options.work, data, "val")


def kept(work: Path, data: "DeepLesion", split: str) -> "LesionSet":
    """Lesions of a split of DeepLesion, read from the work folder or cut out and kept there."""
    from osln.tagging.lesion_set import LesionSet

    present = data.indices(split)
    sys.stdout.write(f"{split}: slices of {len(present)} of {data.count(split)} lesions are here\n")
    files = [(path.name, path.stat().st_size) for path in (data.info, data.labels)]
    key = hashlib.sha256(repr((split, files, present)).encode()).hexdigest()[:12]
    path = work / f"deeplesion-{split}-{key}.npz"
    if path.is_file():
        return LesionSet.load(path)
    collected = LesionSet.collect(each(data.lesions(split), split, "lesion", len(present)))
    collected.save(path)
    return collected
