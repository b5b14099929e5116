"""What a seed draws: which run is attacked how, and when."""

from __future__ import annotations

import random
from dataclasses import dataclass

from tests.scenarios.chaos.attack import ATTACKS, Attack
from tests.scenarios.chaos.scene import SCENES, Scene

#: Kinds of run that take long are drawn less often.
LONG_S = 100.0


@dataclass(frozen=True, slots=True)
class Drawn:
    """One run of a soak; `part` is how far into the moment the attack comes."""

    number: int
    scene: Scene
    attack: Attack
    moment: str
    part: float
    seed: int

    def __str__(self) -> str:
        when = f"{self.moment} + {self.part:.2f}"
        return f"{self.number}: {self.attack.name} on {self.scene.name}, {when}"


def draw(seed: int, count: int) -> list[Drawn]:
    """The first runs of a soak; each attack comes before any comes again, and a longer soak begins
    with the same runs.
    """
    chance = random.Random(seed)
    drawn: list[Drawn] = []
    while len(drawn) < count:
        attacks = list(ATTACKS)
        chance.shuffle(attacks)
        for attack in attacks:
            scenes = [scene for scene in SCENES if attack.fits(scene)]
            weights = [1.0 if scene.takes_s > LONG_S else 3.0 for scene in scenes]
            drawn.append(
                Drawn(
                    number=len(drawn) + 1,
                    scene=chance.choices(scenes, weights)[0],
                    attack=attack,
                    moment=chance.choice(list(attack.moments)),
                    part=round(chance.random(), 2),
                    seed=chance.randrange(2**32),
                )
            )
    return drawn[:count]
