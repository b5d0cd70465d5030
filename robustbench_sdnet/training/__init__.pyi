from .recipes.options import TrainOptions as TrainOptions
from .recipes.recipe import Recipe as Recipe, load_recipe as load_recipe, recipe_names as recipe_names
from .run.folders import TrainResult as TrainResult
from .run.run import train as train
