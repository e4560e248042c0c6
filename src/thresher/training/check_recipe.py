"""Check the schedule, loggers and diet of a recipe before anything is written or trained."""

from __future__ import annotations

from thresher.config import TrainConfig
from thresher.errors import UserError


def check_recipe(recipe: TrainConfig, section: str = "train") -> None:
    """Refuse a schedule, logger or diet that cannot be used; `section` is the name of the recipe in messages.

    Raises UserError: one line that names the setting.

    >>> check_recipe(TrainConfig())
    >>> check_recipe(TrainConfig(diet="fasting"), "joint")
    Traceback (most recent call last):
    ...
    thresher.errors.UserError: joint.diet: unknown diet 'fasting'; known diets: data-diet, infobatch, iterative
    """
    # Imported only if needed: these modules import libraries that take seconds to load.
    if recipe.schedule != TrainConfig().schedule:
        from thresher.training.schedule import check_schedule

        check_schedule(recipe.schedule, f"{section}.schedule")
    if recipe.report_to:
        from thresher.training.loggers import check_loggers

        check_loggers(recipe.report_to, f"{section}.report_to")
    if recipe.diet == "none" and recipe.diet_options:
        raise UserError(
            f"{section}.diet_options (--diet-option) has no effect without a diet; give one (--diet NAME)"
        )
    if recipe.diet != "none":
        from thresher.training.diets import check_options

        try:
            check_options(recipe.diet, recipe.diet_options)
        except UserError as error:
            raise UserError(f"{section}.diet: {error}") from error
