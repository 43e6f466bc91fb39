"""Poseidon2 over Goldilocks as Lighter hashes with it: width 12, rate 8, 8 full and 22 partial rounds, x^7.

The permutation is that of Grassi, Khovratovich and Schofnegger (2023); the numbers are the instance published in
elliottech/poseidon_crypto, hash/poseidon2_goldilocks_plonky2/config.go (round constants) and Plonky3's (diagonal).
"""

from __future__ import annotations

from collections.abc import Sequence

from twinleg_sims.lighter.goldilocks import P, Quintic

WIDTH = 12
RATE = 8

_FULL = """
15492826721047263190 11728330187201910315 8836021247773420868 16777404051263952451 5510875212538051896
6173089941271892285 2927757366422211339 10340958981325008808 8541987352684552425 9739599543776434497
15073950188101532019 12084856431752384512
4584713381960671270 8807052963476652830 54136601502601741 4872702333905478703 5551030319979516287
12889366755535460989 16329242193178844328 412018088475211848 10505784623379650541 9758812378619434837
7421979329386275117 375240370024755551
3331431125640721931 15684937309956309981 578521833432107983 14379242000670861838 17922409828154900976
8153494278429192257 15904673920630731971 11217863998460634216 3301540195510742136 9937973023749922003
3059102938155026419 1895288289490976132
5580912693628927540 10064804080494788323 9582481583369602410 10186259561546797986 247426333829703916
13193193905461376067 6386232593701758044 17954717245501896472 1531720443376282699 2455761864255501970
11234429217864304495 4746959618548874102
13571697342473846203 17477857865056504753 15963032953523553760 16033593225279635898 14252634232868282405
8219748254835277737 7459165569491914711 15855939513193752003 16788866461340278896 7102224659693946577
3024718005636976471 13695468978618890430
8214202050877825436 2670727992739346204 16259532062589659211 11869922396257088411 3179482916972760137
13525476046633427808 3217337278042947412 14494689598654046340 15837379330312175383 8029037639801151344
2153456285263517937 8301106462311849241
13294194396455217955 17394768489610594315 12847609130464867455 14015739446356528640 5879251655839607853
9747000124977436185 8950393546890284269 10765765936405694368 14695323910334139959 16366254691123000864
15292774414889043182 10910394433429313384
17253424460214596184 3442854447664030446 3005570425335613727 10859158614900201063 9763230642109343539
6647722546511515039 909012944955815706 18101204076790399111 11588128829349125809 15863878496612806566
5201119062417750399 176665553780565743
"""
_PARTIAL = """
11921381764981422944 10318423381711320787 8291411502347000766 229948027109387563 9152521390190983261
7129306032690285515 15395989607365232011 8641397269074305925 17256848792241043600 6046475228902245682
12041608676381094092 12785542378683951657 14546032085337914034 3304199118235116851 16499627707072547655
10386478025625759321 13475579315436919170 16042710511297532028 1411266850385657080 9024840976168649958
14047056970978379368 838728605080212101
"""
_DIAGONAL = """
c3b6c08e23ba9300 d84b5de94a324fb6 0d0c371c5b35b84f 7964f570e7188037 5daf18bbd996604b 6743bc47b9595257
5528b9362c59bb70 ac45e25b7127b68b a2077d7dfbb606b5 f3faac6faee378ae 0c6388b51545e883 d27dbb6944917b60
"""
_full = [int(number) for number in _FULL.split()]
FULL_ROUNDS = [tuple(_full[first : first + WIDTH]) for first in range(0, len(_full), WIDTH)]
PARTIAL_ROUNDS = tuple(int(number) for number in _PARTIAL.split())
DIAGONAL = tuple(int(number, 16) for number in _DIAGONAL.split())


def hashed(elements: Sequence[int], outputs: int) -> tuple[int, ...]:
    """The sponge without padding: `outputs` (at most RATE) elements. The elements must be below p."""
    assert outputs <= RATE, "one squeeze is enough"
    state = [0] * WIDTH
    for first in range(0, len(elements), RATE):
        part = elements[first : first + RATE]
        state[: len(part)] = part
        state = permuted(state)
    return tuple(state[:outputs])


def hashed_quintic(elements: Sequence[int]) -> Quintic:
    """A hash as an element of the extension field: 320 bits."""
    a, b, c, d, e = hashed(elements, 5)
    return a, b, c, d, e


def permuted(state: list[int]) -> list[int]:
    """The permutation of twelve elements."""
    state = _mixed(state)
    for constants in FULL_ROUNDS[:4]:
        state = _full_round(state, constants)
    for constant in PARTIAL_ROUNDS:
        state[0] = _seventh(state[0] + constant)
        total = sum(state)
        state = [(total + number * weight) % P for number, weight in zip(state, DIAGONAL, strict=True)]
    for constants in FULL_ROUNDS[4:]:
        state = _full_round(state, constants)
    return state


def _full_round(state: list[int], constants: Sequence[int]) -> list[int]:
    return _mixed([_seventh(number + constant) for number, constant in zip(state, constants, strict=True)])


def _seventh(x: int) -> int:
    square = x * x % P
    return square * x % P * (square * square % P) % P


def _mixed(state: list[int]) -> list[int]:
    """The linear layer of the full rounds: M4 on each four, then each column's sum on top."""
    fours = [_four(*state[first : first + 4]) for first in (0, 4, 8)]
    sums = [sum(column) for column in zip(*fours, strict=True)]
    return [(number + total) % P for four in fours for number, total in zip(four, sums, strict=True)]


def _four(a: int, b: int, c: int, d: int) -> tuple[int, int, int, int]:
    """The matrix 2 3 1 1 / 1 2 3 1 / 1 1 2 3 / 3 1 1 2."""
    total = a + b + c + d
    return total + a + 2 * b, total + b + 2 * c, total + c + 2 * d, total + d + 2 * a
