"""Drawings of what is worn or carried. Each function draws one type of product in a palette onto a canvas."""
# ruff: noqa: D103 - a drawing is named after what it draws, and an outline reads best in one line

from __future__ import annotations

from shop.canvas import Canvas
from shop.palette import BLACK, BROWN, CREAM, GLASS, METAL, WHITE, Palette


def running_shoe(c: Canvas, p: Palette) -> None:
    c.box((7, 71, 94, 82), 5, WHITE)
    c.smooth(
        [(9, 72), (9, 52), (14, 41), (24, 44), (36, 46), (44, 44), (60, 56), (80, 60), (92, 66), (92, 73), (50, 74)], p.main
    )
    c.smooth([(13, 45), (24, 48), (32, 46), (27, 40), (19, 38)], p.dark)
    c.poly([(46, 58), (66, 66), (64, 71), (40, 71)], p.accent, is_outlined=False)
    c.smooth([(80, 61), (92, 66), (92, 73), (77, 73)], p.accent)
    for x, y in ((39, 47), (45, 50), (51, 54)):
        c.line([(x, y + 6), (x + 6, y - 3)], 1.8, WHITE.colour)
    c.line([(9, 78), (92, 78)], 1.6, p.accent.colour)


def boot(c: Canvas, p: Palette) -> None:
    c.box((25, 74, 90, 82), 3, BLACK)
    c.smooth([(27, 18), (54, 18), (55, 46), (64, 54), (84, 60), (89, 70), (88, 76), (27, 76), (26, 46)], p.main)
    c.box((25, 14, 56, 25), 3, p.accent)
    c.smooth([(72, 57), (85, 60), (89, 70), (88, 76), (70, 76)], p.dark)
    for y in (32, 39, 46):
        c.line([(43, y), (55, y + 2)], 2, CREAM.colour)
    c.box((25, 79, 40, 85), 1, BLACK)


def sandal(c: Canvas, p: Palette) -> None:
    c.smooth([(7, 74), (14, 69), (50, 73), (84, 69), (95, 75), (90, 83), (50, 85), (12, 84)], BROWN)
    c.smooth([(8, 72), (15, 66), (50, 70), (84, 66), (94, 72), (88, 76), (50, 78), (12, 77)], CREAM)
    c.smooth([(56, 73), (60, 57), (72, 50), (85, 56), (90, 71), (74, 75)], p.main)
    c.smooth([(14, 72), (14, 52), (24, 44), (38, 50), (40, 73), (34, 73), (31, 56), (24, 52), (20, 57), (21, 72)], p.main)
    c.line([(36, 54), (48, 61), (60, 60)], 4, p.accent.colour, is_smooth=True)
    c.ellipse((33, 50, 41, 58), METAL)


def pump(c: Canvas, p: Palette) -> None:
    c.poly([(13, 50), (25, 60), (21, 85), (16, 85)], p.dark)
    c.smooth(
        [
            (12, 36),
            (22, 34),
            (34, 52),
            (52, 64),
            (70, 66),
            (88, 70),
            (96, 80),
            (90, 85),
            (66, 85),
            (48, 79),
            (34, 69),
            (20, 60),
        ],
        p.main,
    )
    c.smooth([(15, 38), (21, 37), (34, 54), (52, 66), (66, 68), (50, 70), (34, 63), (20, 50)], p.dark, is_outlined=False)
    c.ellipse((70, 64, 80, 71), p.accent)


def t_shirt(c: Canvas, p: Palette) -> None:
    c.poly([(36, 18), (64, 18), (93, 34), (84, 50), (73, 44), (73, 84), (27, 84), (27, 44), (16, 50), (7, 34)], p.main)
    c.smooth([(38, 17), (50, 19), (62, 17), (58, 26), (50, 29), (42, 26)], p.dark)
    c.line([(27, 44), (29, 36)], 0.9, p.dark.colour)
    c.line([(73, 44), (71, 36)], 0.9, p.dark.colour)
    c.line([(8, 36), (17, 51)], 1.8, p.accent.colour)
    c.line([(92, 36), (83, 51)], 1.8, p.accent.colour)


def dress(c: Canvas, p: Palette) -> None:
    c.line([(40, 12), (39, 26)], 2.4, p.dark.colour)
    c.line([(60, 12), (61, 26)], 2.4, p.dark.colour)
    c.smooth(
        [
            (38, 20),
            (50, 27),
            (62, 20),
            (63, 36),
            (60, 46),
            (70, 64),
            (82, 84),
            (50, 88),
            (18, 84),
            (30, 64),
            (40, 46),
            (37, 36),
        ],
        p.main,
    )
    c.poly([(39.5, 44), (60.5, 44), (61.5, 50), (38.5, 50)], p.accent)
    for x0, x1 in ((44, 36), (50, 50), (56, 64)):
        c.line([(x0, 53), (x1, 84)], 0.8, p.dark.colour)


def hoodie(c: Canvas, p: Palette) -> None:
    c.smooth([(34, 22), (38, 10), (50, 6), (62, 10), (66, 22), (50, 30)], p.dark)
    c.poly(
        [(32, 20), (68, 20), (80, 30), (92, 76), (78, 80), (72, 50), (72, 82), (28, 82), (28, 50), (22, 80), (8, 76), (20, 30)],
        p.main,
    )
    c.smooth([(36, 21), (50, 17), (64, 21), (58, 32), (50, 36), (42, 32)], p.dark)
    c.poly([(37, 58), (63, 58), (68, 74), (32, 74)], p.accent)
    c.line([(45, 34), (44, 48)], 1.5, WHITE.colour)
    c.line([(55, 34), (56, 48)], 1.5, WHITE.colour)
    c.box((28, 80, 72, 86), 2, p.dark)


def trousers(c: Canvas, p: Palette) -> None:
    c.poly([(31, 12), (69, 12), (74, 86), (56, 86), (50, 36), (44, 86), (26, 86)], p.main)
    c.box((30, 10, 70, 18), 1.5, p.dark)
    c.ellipse((48, 12, 52, 16), METAL)
    c.line([(50, 18), (50, 36)], 0.9, p.dark.colour)
    c.arc((22, 10, 42, 32), 20, 75, 1, p.dark.colour)
    c.arc((58, 10, 78, 32), 105, 160, 1, p.dark.colour)
    c.poly([(26, 82), (44.5, 82), (44, 87), (25.7, 87)], p.accent)
    c.poly([(55.5, 82), (74, 82), (74.3, 87), (56, 87)], p.accent)


def backpack(c: Canvas, p: Palette) -> None:
    c.arc((38, 6, 62, 30), 180, 360, 3.4, p.dark.colour)
    c.smooth([(18, 60), (14, 50), (18, 44), (24, 46), (24, 78), (18, 76)], p.dark)
    c.smooth([(82, 60), (86, 50), (82, 44), (76, 46), (76, 78), (82, 76)], p.dark)
    c.smooth([(24, 82), (22, 40), (30, 20), (50, 14), (70, 20), (78, 40), (76, 82), (50, 85)], p.main)
    c.box((31, 54, 69, 80), 5, p.accent)
    c.line([(31, 61), (69, 61)], 1.4, p.dark.colour)
    c.box((47, 60, 53, 67), 1, METAL)
    c.arc((30, 24, 70, 60), 200, 340, 1.6, p.dark.colour)


def handbag(c: Canvas, p: Palette) -> None:
    c.arc((30, 8, 70, 76), 180, 360, 3.6, p.dark.colour)
    c.smooth([(18, 44), (50, 42), (82, 44), (89, 78), (80, 84), (50, 85), (20, 84), (11, 78)], p.main)
    c.smooth([(18, 43), (82, 43), (84, 56), (66, 64), (50, 67), (34, 64), (16, 56)], p.accent)
    c.box((45, 60, 55, 70), 2, METAL)


def cap(c: Canvas, p: Palette) -> None:
    c.smooth([(54, 64), (80, 62), (97, 70), (94, 77), (76, 73), (54, 72)], p.accent)
    c.smooth([(13, 70), (14, 46), (28, 31), (44, 28), (58, 34), (68, 48), (70, 70), (40, 73)], p.main)
    c.arc((22, 26, 64, 112), 268, 352, 1, p.dark.colour)
    c.line([(41, 29), (33, 71)], 1, p.dark.colour)
    c.ellipse((38, 25, 47, 31), p.accent)


def sunglasses(c: Canvas, p: Palette) -> None:
    c.line([(10, 46), (4, 34), (16, 27)], 3.2, p.dark.colour, is_smooth=True)
    c.line([(90, 46), (96, 34), (84, 27)], 3.2, p.dark.colour, is_smooth=True)
    c.smooth([(8, 44), (28, 40), (46, 45), (45, 62), (30, 70), (12, 63)], p.main)
    c.smooth([(92, 44), (72, 40), (54, 45), (55, 62), (70, 70), (88, 63)], p.main)
    c.smooth([(13, 48), (28, 45), (41, 49), (40, 60), (29, 65), (16, 60)], GLASS)
    c.smooth([(87, 48), (72, 45), (59, 49), (60, 60), (71, 65), (84, 60)], GLASS)
    c.line([(45, 48), (50, 45), (55, 48)], 3.4, p.main.colour, is_smooth=True)
    c.line([(19, 58), (27, 49)], 1.4, WHITE.colour)
    c.line([(65, 58), (73, 49)], 1.4, WHITE.colour)


def watch(c: Canvas, p: Palette) -> None:
    c.poly([(38, 6), (62, 6), (66, 36), (34, 36)], p.main)
    c.poly([(34, 62), (66, 62), (62, 94), (38, 94)], p.main)
    c.box((76, 46, 82, 53), 1, METAL)
    c.ellipse((25, 25, 75, 75), METAL)
    c.ellipse((30, 30, 70, 70), WHITE)
    for x, y in ((50, 33), (50, 67), (33, 50), (67, 50)):
        c.ellipse((x - 1.6, y - 1.6, x + 1.6, y + 1.6), p.dark, is_outlined=False)
    c.line([(50, 50), (50, 37)], 1.8, BLACK.colour)
    c.line([(50, 50), (59, 55)], 1.8, p.accent.colour)


def ring(c: Canvas, p: Palette) -> None:
    c.arc((24, 36, 76, 86), 0, 360, 6.5, METAL.shade(0.75).colour)
    c.arc((24, 36, 76, 86), 150, 290, 3, METAL.shade(1.6).colour)
    c.poly([(35, 20), (65, 20), (73, 30), (50, 48), (27, 30)], p.main)
    for a, b in (((35, 20), (42, 30)), ((65, 20), (58, 30)), ((42, 30), (50, 48)), ((58, 30), (50, 48)), ((27, 30), (73, 30))):
        c.line([a, b], 0.8, WHITE.colour)


def necklace(c: Canvas, p: Palette) -> None:
    c.arc((20, -26, 80, 62), 8, 172, 1.6, METAL.shade(0.8).colour)
    for x, y in ((76.9, 37), (72.2, 47), (65, 56), (56.5, 61), (43.5, 61), (35, 56), (27.8, 47), (23.1, 37)):
        c.ellipse((x - 3, y - 3, x + 3, y + 3), p.accent)
    c.smooth([(50, 62), (60, 75), (57, 86), (50, 89), (43, 86), (40, 75)], p.main)
    c.ellipse((47, 60, 53, 66), METAL)
    c.line([(46, 76), (47, 82)], 1.6, WHITE.colour)


def umbrella(c: Canvas, p: Palette) -> None:
    c.line([(50, 12), (50, 80)], 2.2, BROWN.colour)
    c.arc((50, 73, 62, 89), 0, 180, 2.6, BROWN.colour)
    c.smooth(
        [(6, 52), (14, 30), (32, 17), (50, 13), (68, 17), (86, 30), (94, 52), (80, 46), (65, 53), (50, 46), (35, 53), (20, 46)],
        p.main,
    )
    for x in (35, 65):
        c.line([(50, 14), (50 + (x - 50) * 0.8, 32), (x, 52)], 0.9, p.dark.colour, is_smooth=True)
    c.line([(50, 8), (50, 14)], 1.6, BLACK.colour)


WEAR = {
    drawing.__name__: drawing
    for drawing in (
        running_shoe, boot, sandal, pump, t_shirt, dress, hoodie, trousers, backpack, handbag, cap, sunglasses, watch, ring,
        necklace, umbrella,
    )
}  # fmt: skip
