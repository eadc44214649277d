"""Settings: recipes, files, `--set`, and the way back to a file."""

from pathlib import Path

import pytest
from places import EXAMPLES, ROOT
from training_tools import LANDMARKS as TINY
from training_tools import config

from mcnet_cli.checkpoint import read_weights
from mcnet_cli.errors import InputError, UsageError
from mcnet_cli.model import PRESETS
from mcnet_cli.training import RunConfig, configure
from mcnet_cli.training.config import ScheduleConfig
from mcnet_cli.training.objective_config import LANDMARKS, LandmarkLossWeights, PaperLossWeights, mirror_order
from mcnet_cli.training.settings import write_config


def test_without_a_word_the_recipe_is_that_of_lite(tmp_path: Path) -> None:
    config = configure(tmp_path)
    assert config == RunConfig()
    assert config.model == PRESETS["lite"]
    assert config.keypoints.supervision == "landmarks"


def test_the_recipe_of_mcnet_is_the_papers(tmp_path: Path) -> None:
    config = configure(tmp_path, configs=["mcnet"])
    assert config.model == PRESETS["mcnet"]
    assert config.losses == PaperLossWeights()
    assert (config.batch_size, config.learning_rate, config.optimizer.clip_norm) == (8, 2e-4, 10.0)
    assert (config.schedule.epochs, config.data.repeats) == (100.0, 75)
    augment = config.augment
    assert (augment.flip, augment.time_flip, augment.jitter, augment.is_geometric) == (0.5, 0.5, 0.1, False)


def test_the_papers_learning_rate_falls_to_a_tenth_at_epoch_80_of_100(tmp_path: Path) -> None:
    schedule = configure(tmp_path, configs=["mcnet"]).schedule
    assert [schedule.rate(step, step / 100) for step in (0, 79, 80, 99)] == [1.0, 1.0, 0.1, 0.1]


def test_lites_learning_rate_warms_up_stays_and_falls_to_four_percent() -> None:
    schedule = ScheduleConfig()
    assert schedule.rate(0, 0.0) == pytest.approx(1 / 50)
    assert schedule.rate(1000, 0.6) == 1.0
    assert schedule.rate(2000, 1.0) == pytest.approx(0.04)


def test_a_hundred_epochs_are_as_many_steps_as_pairs_over_the_whole_batch(tmp_path: Path) -> None:
    config = configure(tmp_path, configs=["mcnet"])
    assert config.total_steps(epoch=400 * 75, processes=8) == 100 * 400 * 75 // 64
    assert configure(tmp_path).total_steps(48) is None  # minutes


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ("losses.perceptul=5", "no setting losses.perceptul; the nearest is losses.perceptual"),
        ("batchsize=5", "no setting batchsize; the nearest is batch_size"),
        (
            "model.memory.conditon=none",
            "no setting model.memory.conditon; the nearest is model.memory.condition",
        ),
        ("model.memory.condition=some", "model.memory.condition = 'some': must be one of both, keypoints"),
        ("batch_size=many", "batch_size = 'many': must be of type int"),
        ("batch_size=true", "batch_size = True: must be of type int"),
        ("batch_size=0", "batch_size = 0: must be between 1 and"),
        ("learning_rate=nan", "learning_rate = nan: must be between"),
        ("losses.pixel=-1", "losses.pixel = -1"),
        ("losses=5", "losses = 5: must be a table"),
        ("model.memory.width=-1", "configuration: model.memory.width = -1: must be between 1 and 1024"),
        ("output.keep=1", "output.keep = 1: the last one may be torn"),
        ("model.keypoints.landmarks=[]", "painter.size = 128: needs motion.mouth, and keypoints that are"),
        ("model.keypoints.landmarks=[10]", "model.keypoints.landmarks = (10,): needs no number or 35"),
        ("model.keypoints.jacobians=true", "goes without keypoints.jacobians"),
        (
            "model.motion.mouth=[14, 13, 15, 16, 17, 18]",
            "model.motion.mouth must name the keypoints that are landmarks (61,",
        ),
        ("model.motion.eyes=[7, 9, 11]", "must be six keypoints, or none"),
        ("=5", "name=value"),
        ("batch_size", "name=value"),
    ],
)
def test_a_bad_setting_is_named_with_what_is_wrong(tmp_path: Path, setting: str, said: str) -> None:
    with pytest.raises(UsageError) as failure:
        configure(tmp_path, assignments=[setting])
    assert said in str(failure.value)


@pytest.mark.parametrize(("points", "said"), [([10, 234], "needs its twin"), ([10, 11], "11 is none of 10,")])
def test_landmarks_are_known_and_have_their_mirror_twins(points: list[int], said: str) -> None:
    pair = [setting.replace("count=7", "count=2") for setting in TINY if "landmarks=" not in setting]
    with pytest.raises(UsageError, match=f"model.keypoints.landmarks: .*{said}"):
        config(f"model.keypoints.landmarks={points}", base=pair)


def test_a_bad_setting_in_a_file_is_named_with_the_file(tmp_path: Path) -> None:
    (tmp_path / "my.toml").write_text("batch_size = -4\n")
    with pytest.raises(UsageError, match=r"my\.toml: batch_size = -4: must be between"):
        configure(tmp_path, configs=[str(tmp_path / "my.toml")])


def test_the_way_to_train_decides_about_the_losses(tmp_path: Path) -> None:
    config = configure(tmp_path, assignments=["keypoints.supervision=none", "losses.official=true"])
    assert config.losses == PaperLossWeights(official=True)
    assert not config.model.motion.mouth
    assert config.model.generator == PRESETS["lite"].generator
    with pytest.raises(UsageError, match=r"no setting losses\.official"):
        configure(tmp_path, assignments=["losses.official=true"])


def test_later_layers_win_and_leave_the_rest(tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    file.write_text("batch_size = 3\n[losses]\nperceptual = 7\nconsistency = 1\n[augment]\nflip = 0.25\n")
    config = configure(tmp_path, configs=["mcnet", str(file)], assignments=["losses.perceptual=8"])
    assert config.losses == PaperLossWeights(perceptual=8.0, consistency=1.0)
    assert (config.batch_size, config.augment.flip, config.augment.jitter) == (3, 0.25, 0.1)


@pytest.mark.parametrize("recipe", ["lite", "mcnet"])
def test_the_written_configuration_reads_back_the_same(tmp_path: Path, recipe: str) -> None:
    config = configure(tmp_path, configs=[recipe], assignments=["seed=7", "model.memory.condition=features"])
    write_config(tmp_path / "resolved.toml", config)
    assert configure(tmp_path, configs=[str(tmp_path / "resolved.toml")]) == config


def test_a_begun_run_goes_on_with_its_own_settings(tmp_path: Path) -> None:
    write_config(tmp_path / "config.toml", configure(tmp_path, configs=["mcnet"], assignments=["seed=5"]))
    assert configure(tmp_path).seed == 5
    assert configure(tmp_path, configs=["lite"]) == RunConfig()


@pytest.mark.parametrize(("name", "kind"), [("litee", UsageError), ("gone.toml", InputError)])
def test_an_unknown_recipe_is_usage_and_a_missing_file_an_input(
    tmp_path: Path, name: str, kind: type
) -> None:
    with pytest.raises(kind):
        configure(tmp_path, configs=[name if kind is UsageError else str(tmp_path / name)])


def test_a_file_that_is_no_toml_is_an_input_error(tmp_path: Path) -> None:
    (tmp_path / "bad.toml").write_text("batch_size: 3\n")
    with pytest.raises(InputError, match=r"bad\.toml is not TOML"):
        configure(tmp_path, configs=[str(tmp_path / "bad.toml")])


def test_mirrored_landmarks_change_places_in_pairs() -> None:
    order = mirror_order()
    assert [order[place] for place in order] == list(range(len(LANDMARKS)))
    assert LANDMARKS[order[LANDMARKS.index(234)]] == 454


def test_landmark_losses_belong_to_landmarks() -> None:
    with pytest.raises(ValueError, match="losses are not those"):
        RunConfig(losses=PaperLossWeights())
    assert isinstance(RunConfig().losses, LandmarkLossWeights)


def test_the_shipped_weights_are_those_of_the_command_on_their_card(tmp_path: Path) -> None:
    root = ROOT
    weights = read_weights(root / "weights" / "mcnet-lite.safetensors")
    command = str(weights.card["command"])
    assert command in (root / "weights" / "mcnet-lite.md").read_text(encoding="utf-8")
    config = configure(tmp_path, configs=[str(root / command.split()[-1])])
    assert config.model == weights.config
    assert config.steps == weights.card["steps"]


def test_the_recipe_for_a_handful_of_clips_begins_from_lite(tmp_path: Path) -> None:
    recipe = EXAMPLES / "fine_tune.toml"
    config = configure(tmp_path, configs=[str(recipe)], model=PRESETS["lite"])
    assert config.model == PRESETS["lite"]
    assert config.keypoints.freeze
    assert config.learning_rate < RunConfig().learning_rate
