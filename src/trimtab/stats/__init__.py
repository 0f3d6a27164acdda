"""Pure numbers: bounds, intervals and tests that stay valid however often one looks."""

from .agreement import (
    alpha_interval,
    cohen_kappa,
    confusion,
    design_effect,
    fleiss_kappa,
    gwet_ac1,
    kappa_standard_error,
    krippendorff_alpha,
    percent_agreement,
)
from .anytime import NO_WORSE, OPEN, WORSE, AnytimeGate
from .bias import (
    Bias,
    BothOrders,
    FeatureVerdict,
    feature_bias,
    fisher_exact,
    flip_rate,
    holm,
    lean_bias,
    position_bias,
)
from .blocks import PER_ARM, Block, Blocks
from .bounds import binomial_tail, lower_bound, wilson
from .components import Components, variance_components
from .corrected import Corrected, ErrorRates, JudgeTooWeak, Labelled, ppi_rate, rogan_gladen
from .delay import delay
from .difference import Estimate, Stratum, difference_interval
from .distributions import binomial_two_sided, incomplete_beta, normal_cdf, normal_quantile, t_cdf, t_quantile
from .edetector import EDetector, Seen
from .intervals import (
    Interval,
    clustered_variance,
    mean_interval,
    newcombe_difference,
    rate_interval,
)
from .kappa_profile import deviance, kappa_interval, kappa_lower, kappa_upper
from .looks import look_alpha
from .paired import PairedDifference, paired_difference, paired_e_value
from .power import STEADINESS, Design, cases_needed
from .sequence import ConfidenceSequence, DifferenceBet
from .strata import LabelStratum, pooled, strata_deviance, strata_kappa, strata_kappa_bounds, strata_rate
from .strata_ppi import DrawnValues, strata_ppi
from .twoarm import TwoArmTest

__all__ = [
    "NO_WORSE",
    "OPEN",
    "PER_ARM",
    "STEADINESS",
    "WORSE",
    "AnytimeGate",
    "Bias",
    "Block",
    "Blocks",
    "BothOrders",
    "Components",
    "ConfidenceSequence",
    "Corrected",
    "Design",
    "DifferenceBet",
    "DrawnValues",
    "EDetector",
    "ErrorRates",
    "Estimate",
    "FeatureVerdict",
    "Interval",
    "JudgeTooWeak",
    "LabelStratum",
    "Labelled",
    "PairedDifference",
    "Seen",
    "Stratum",
    "TwoArmTest",
    "alpha_interval",
    "binomial_tail",
    "binomial_two_sided",
    "cases_needed",
    "clustered_variance",
    "cohen_kappa",
    "confusion",
    "delay",
    "design_effect",
    "deviance",
    "difference_interval",
    "feature_bias",
    "fisher_exact",
    "fleiss_kappa",
    "flip_rate",
    "gwet_ac1",
    "holm",
    "incomplete_beta",
    "kappa_interval",
    "kappa_lower",
    "kappa_standard_error",
    "kappa_upper",
    "krippendorff_alpha",
    "lean_bias",
    "look_alpha",
    "lower_bound",
    "mean_interval",
    "newcombe_difference",
    "normal_cdf",
    "normal_quantile",
    "paired_difference",
    "paired_e_value",
    "percent_agreement",
    "pooled",
    "position_bias",
    "ppi_rate",
    "rate_interval",
    "rogan_gladen",
    "strata_deviance",
    "strata_kappa",
    "strata_kappa_bounds",
    "strata_ppi",
    "strata_rate",
    "t_cdf",
    "t_quantile",
    "variance_components",
    "wilson",
]
