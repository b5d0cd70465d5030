from .dispatch import run as run
from .engine.result import AttackResult as AttackResult
from .native.apgd import apgd_ce as apgd_ce, apgd_dlr as apgd_dlr, apgd_t as apgd_t
from .native.chain import autoattack as autoattack, lean as lean
from .native.fab import fab_t as fab_t
from .native.fmn import fmn as fmn
from .native.noise import noise as noise
from .native.pgd import fgsm as fgsm, pgd as pgd
from .native.pma import pma as pma
from .native.sigma_zero import sigma_zero as sigma_zero
from .native.square import square as square
from .registry import (
    ATTACKS as ATTACKS,
    CHAINS as CHAINS,
    attack_info as attack_info,
    check_params as check_params,
)
