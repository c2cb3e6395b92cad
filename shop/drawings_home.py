"""Drawings of what stands in a home, kitchen or garden. Each function draws one type of product."""
# ruff: noqa: D103 - a drawing is named after what it draws, and an outline reads best in one line

from __future__ import annotations

from shop.canvas import Canvas, smooth_path
from shop.palette import BLACK, BROWN, CLAY, CREAM, GLASS, GOLD, LEAF, METAL, SKY, WHITE, WOOD, Palette


def mug(c: Canvas, p: Palette) -> None:
    c.arc((56, 36, 88, 72), 270, 450, 7, p.dark.colour)
    c.smooth([(20, 28), (68, 28), (68, 60), (65, 80), (58, 84), (30, 84), (23, 80), (20, 60)], p.main)
    c.ellipse((20, 22, 68, 35), p.dark)
    c.ellipse((24, 24.5, 64, 33), BROWN)
    c.line([(26, 42), (27, 70)], 2, WHITE.colour)


def pan(c: Canvas, p: Palette) -> None:
    c.poly([(66, 56), (97, 42), (98, 48), (68, 64)], BLACK)
    c.smooth([(6, 58), (74, 58), (70, 76), (60, 82), (20, 82), (10, 76)], p.main)
    c.ellipse((5, 50, 75, 66), METAL)
    c.ellipse((10, 52.5, 70, 63.5), GLASS)
    c.arc((16, 54, 60, 62), 190, 280, 1, WHITE.colour)


def kettle(c: Canvas, p: Palette) -> None:
    c.arc((24, 8, 76, 66), 185, 355, 4.5, BLACK.colour)
    c.smooth([(74, 50), (88, 36), (95, 36), (88, 52), (76, 66)], p.dark)
    c.smooth([(28, 42), (50, 37), (72, 42), (80, 62), (78, 82), (50, 85), (22, 82), (20, 62)], p.main)
    c.smooth([(34, 40), (50, 32), (66, 40), (50, 44)], p.accent)
    c.ellipse((46, 27, 54, 34), BLACK)


def knife(c: Canvas, p: Palette) -> None:
    c.poly(smooth_path([(34, 58), (62, 30), (91, 4), (90, 18), (78, 36), (62, 54), (46, 70)]), METAL)
    c.line([(47, 66), (64, 48), (80, 29), (89, 13)], 1.2, WHITE.colour, is_smooth=True)
    c.poly([(9, 82), (35, 55), (47, 67), (20, 94)], p.main)
    for x, y in ((20, 83), (28, 75), (36, 67)):
        c.ellipse((x - 2, y - 2, x + 2, y + 2), METAL)


def bottle(c: Canvas, p: Palette) -> None:
    c.smooth([(40, 30), (60, 30), (69, 44), (70, 80), (64, 87), (36, 87), (30, 80), (31, 44)], p.main)
    c.box((41, 20, 59, 32), 2, METAL)
    c.box((39, 10, 61, 22), 3, p.accent)
    c.box((31, 54, 69, 68), 1, p.accent)
    c.line([(37, 44), (36, 80)], 2, WHITE.colour)


def lamp(c: Canvas, p: Palette) -> None:
    c.smooth([(30, 78), (50, 75), (70, 78), (72, 83), (50, 86), (28, 83)], p.dark)
    c.box((47.5, 48, 52.5, 79), 1, GOLD)
    c.ellipse((40, 48, 60, 53), GOLD)
    c.poly([(36, 10), (64, 10), (80, 50), (20, 50)], p.main)
    c.ellipse((35, 7.5, 65, 12.5), CREAM)
    c.line([(62, 50), (62, 60)], 0.8, BLACK.colour)
    c.ellipse((60.5, 59, 63.5, 62), GOLD)


def chair(c: Canvas, p: Palette) -> None:
    for x0, x1 in ((30, 24), (70, 76)):
        c.poly([(x0 - 2.5, 56), (x0 + 2.5, 56), (x1 + 2, 88), (x1 - 2, 88)], WOOD)
    for x0, x1 in ((36, 34), (64, 66)):
        c.poly([(x0 - 2, 58), (x0 + 2, 58), (x1 + 1.5, 81), (x1 - 1.5, 81)], BROWN)
    c.smooth([(30, 50), (27, 20), (34, 10), (50, 8), (66, 10), (73, 20), (70, 50), (50, 52)], p.main)
    c.smooth([(22, 54), (30, 47), (70, 47), (78, 54), (76, 61), (50, 63), (24, 61)], p.main)
    c.line([(25, 57), (75, 57)], 1.2, p.dark.colour)


def sofa(c: Canvas, p: Palette) -> None:
    for x in (16, 82):
        c.poly([(x - 2, 78), (x + 4, 78), (x + 2, 87), (x, 87)], WOOD)
    c.box((14, 30, 86, 66), 8, p.main)
    c.line([(50, 32), (50, 60)], 1, p.dark.colour)
    c.box((12, 56, 88, 80), 4, p.main)
    c.box((4, 44, 20, 80), 6, p.dark)
    c.box((80, 44, 96, 80), 6, p.dark)
    c.poly([(26, 42), (42, 39), (45, 56), (29, 58)], p.accent)
    c.line([(21, 68), (79, 68)], 1, p.dark.colour)


def vase(c: Canvas, p: Palette) -> None:
    for x, y in ((38, 18), (52, 10), (64, 20)):
        c.line([(50, 46), ((50 + x) / 2, 32), (x, y)], 1.6, LEAF.colour, is_smooth=True)
        for dx, dy in ((-4, 0), (4, 0), (0, -4), (0, 4)):
            c.ellipse((x + dx - 3.6, y + dy - 3.6, x + dx + 3.6, y + dy + 3.6), p.accent, is_outlined=False)
        c.ellipse((x - 2.6, y - 2.6, x + 2.6, y + 2.6), GOLD)
    c.smooth([(41, 42), (59, 42), (57, 52), (69, 64), (69, 76), (60, 87), (40, 87), (31, 76), (31, 64), (43, 52)], p.main)
    c.ellipse((41, 39.5, 59, 44.5), p.dark)


def clock(c: Canvas, p: Palette) -> None:
    c.ellipse((14, 14, 86, 86), p.main)
    c.ellipse((22, 22, 78, 78), WHITE)
    for x, y in (
        (50, 27),
        (61, 31),
        (69, 39),
        (73, 50),
        (69, 61),
        (61, 69),
        (50, 73),
        (39, 69),
        (31, 61),
        (27, 50),
        (31, 39),
        (39, 31),
    ):
        c.ellipse((x - 1.4, y - 1.4, x + 1.4, y + 1.4), BLACK, is_outlined=False)
    c.line([(50, 50), (50, 32)], 2, BLACK.colour)
    c.line([(50, 50), (39, 45)], 2.8, BLACK.colour)
    c.line([(50, 50), (63, 64)], 1, p.accent.colour)
    c.ellipse((47.5, 47.5, 52.5, 52.5), p.dark)


def cushion(c: Canvas, p: Palette) -> None:
    c.smooth([(12, 20), (50, 25), (88, 20), (84, 50), (88, 84), (50, 79), (12, 84), (16, 50)], p.main)
    c.ellipse((46, 48, 54, 56), p.accent)
    for x, y in ((12, 20), (88, 20), (12, 84), (88, 84)):
        c.ellipse((x - 4, y - 4, x + 4, y + 4), p.accent)


def bed(c: Canvas, p: Palette) -> None:
    c.box((8, 24, 92, 64), 7, WOOD)
    c.box((8, 50, 92, 76), 3, WHITE)
    c.box((14, 42, 46, 58), 5, WHITE)
    c.box((54, 42, 86, 58), 5, WHITE)
    c.smooth([(7, 58), (50, 56), (93, 58), (93, 78), (50, 80), (7, 78)], p.main)
    c.poly([(7, 58), (93, 58), (93, 63), (7, 63)], p.accent)
    for x in (10, 85):
        c.box((x, 78, x + 5, 87), 1, BROWN)


def potted_plant(c: Canvas, p: Palette) -> None:
    for x, y, w in ((22, 26, 9), (38, 12, 8), (62, 12, 8), (78, 26, 9), (50, 20, 9)):
        c.smooth([(50, 60), (x - w, y + 12), (x, y), (x + w, y + 12)], LEAF)
        c.line([(50, 60), (x, y + 5)], 0.9, LEAF.shade(0.6).colour)
    c.poly([(32, 60), (68, 60), (63, 87), (37, 87)], p.main)
    c.box((29, 55, 71, 64), 2, p.accent)


def cactus(c: Canvas, p: Palette) -> None:
    c.line([(30, 30), (30, 45), (44, 48)], 9, LEAF.shade(0.85).colour, is_smooth=True)
    c.line([(71, 24), (71, 38), (56, 41)], 9, LEAF.shade(0.85).colour, is_smooth=True)
    c.smooth([(50, 8), (60, 16), (61, 62), (39, 62), (40, 16)], LEAF)
    for x in (45, 50, 55):
        c.line([(x, 17), (x, 58)], 0.7, CREAM.colour)
    c.ellipse((45, 4, 55, 12), p.accent)
    c.poly([(31, 62), (69, 62), (64, 87), (36, 87)], p.main)
    c.box((28, 58, 72, 66), 2, CLAY)


def watering_can(c: Canvas, p: Palette) -> None:
    c.arc((6, 34, 44, 78), 90, 290, 4, p.dark.colour)
    c.arc((30, 22, 66, 66), 195, 345, 4, p.dark.colour)
    c.poly([(64, 70), (88, 34), (93, 37), (70, 80)], p.dark)
    c.poly([(82, 28), (98, 39), (94, 44), (80, 34)], p.accent)
    c.box((28, 44, 70, 84), 5, p.main)
    c.ellipse((28, 40, 70, 50), p.dark)


def garden_fork(c: Canvas, p: Palette) -> None:
    for x in (36, 45, 55, 64):
        c.line([(x, 58), (x, 88)], 2.4, METAL.shade(0.8).colour)
    c.smooth([(34, 60), (36, 54), (50, 50), (64, 54), (66, 60), (50, 62)], METAL)
    c.box((47, 22, 53, 54), 1, WOOD)
    c.box((44, 8, 56, 26), 4, p.main)
    c.line([(46, 13), (54, 13)], 1.4, p.accent.colour)


def lantern(c: Canvas, p: Palette) -> None:
    c.arc((38, 4, 62, 28), 180, 360, 2, BLACK.colour)
    c.poly([(50, 13), (70, 30), (30, 30)], p.main)
    c.box((33, 30, 67, 78), 2, SKY)
    c.smooth([(50, 44), (56, 56), (54, 64), (46, 64), (44, 56)], GOLD)
    c.box((45, 62, 55, 78), 1, CREAM)
    for x in (33, 49, 65):
        c.box((x, 30, x + 2.4, 78), 0.4, p.dark)
    c.box((28, 77, 72, 86), 2, p.main)


HOME = {
    drawing.__name__: drawing
    for drawing in (
        mug, pan, kettle, knife, bottle, lamp, chair, sofa, vase, clock, cushion, bed, potted_plant, cactus, watering_can,
        garden_fork, lantern,
    )
}  # fmt: skip
