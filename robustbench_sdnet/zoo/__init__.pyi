from .files.cards import ModelCard as ModelCard, read_card as read_card
from .files.importing import import_checkpoint as import_checkpoint
from .files.weights import save_model as save_model, weights_hash as weights_hash
from .names import describe_model as describe_model, find_models as find_models, load_model as load_model
from .nets.architectures import ARCHITECTURES as ARCHITECTURES, Coding as Coding
from .nets.control import (
    auxiliary_objective as auxiliary_objective,
    csc_layers as csc_layers,
    has_lambda as has_lambda,
    normalise_atoms as normalise_atoms,
    refresh_step_sizes as refresh_step_sizes,
    residuals as residuals,
    use_lambda as use_lambda,
)
from .nets.csc import csc1d as csc1d, csc2d as csc2d, csc_linear as csc_linear
from .nets.sdnet import build_model as build_model
from .others.guard import check_input as check_input
from .shelf.publish import add_to_zoo as add_to_zoo, export_model as export_model
from .shelf.verification import verify as verify
