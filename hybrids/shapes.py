"""Shape letters shared by every signature of the toolkit.

B batch, L length in time steps, D model width, C input channels, H heads or horizon (said where used),
d channels of a head.
"""

from jaxtyping import Float, Int
from torch import Tensor

Tokens = Float[Tensor, "B L D"]
Token = Float[Tensor, "B D"]
Heads = Float[Tensor, "B L H d"]
Series = Float[Tensor, "B L C"]
Lengths = Int[Tensor, " B"]
