"""Drawings of electronics, sports goods, toys and books. Each function draws one type of product."""
# ruff: noqa: D103 - a drawing is named after what it draws, and an outline reads best in one line

from __future__ import annotations

from shop.canvas import Canvas, Paint
from shop.palette import BLACK, BROWN, CREAM, GLASS, GOLD, METAL, SKY, WHITE, WOOD, Palette


def phone(c: Canvas, p: Palette) -> None:
    c.box((29, 8, 71, 92), 7, p.main)
    c.box((32, 14, 68, 86), 3, Paint((24, 30, 44)))
    c.box((44, 10, 56, 12), 0.9, BLACK)
    for row in range(4):
        for column in range(3):
            colour = (p.accent, Paint((230, 110, 90)), GOLD, SKY, Paint((120, 190, 120)))[(row * 3 + column) % 5]
            c.box((36 + column * 10.4, 34 + row * 11, 43 + column * 10.4, 41 + row * 11), 1.8, colour, is_outlined=False)
    c.line([(40, 24), (60, 24)], 2, WHITE.colour)


def headphones(c: Canvas, p: Palette) -> None:
    c.arc((20, 12, 80, 90), 180, 360, 6, p.dark.colour)
    c.arc((24, 16, 76, 90), 195, 345, 2.4, p.accent.colour)
    c.box((12, 48, 32, 82), 8, p.main)
    c.box((68, 48, 88, 82), 8, p.main)
    c.box((27, 51, 36, 79), 4, BLACK)
    c.box((64, 51, 73, 79), 4, BLACK)


def laptop(c: Canvas, p: Palette) -> None:
    c.box((17, 18, 83, 70), 3, p.main)
    c.box((21, 22, 79, 66), 1, Paint((32, 42, 66)))
    c.smooth([(21, 66), (21, 54), (40, 42), (56, 54), (79, 36), (79, 66)], p.accent, is_outlined=False)
    c.ellipse((62, 27, 71, 36), GOLD, is_outlined=False)
    c.poly([(10, 70), (90, 70), (96, 80), (4, 80)], METAL)
    c.poly([(20, 71.5), (80, 71.5), (82, 75), (18, 75)], BLACK, is_outlined=False)
    c.box((4, 79, 96, 83), 1.6, METAL)


def camera(c: Canvas, p: Palette) -> None:
    c.box((34, 22, 62, 40), 3, p.dark)
    c.box((68, 27, 80, 36), 2, METAL)
    c.box((8, 32, 92, 80), 6, p.main)
    c.box((8, 44, 92, 68), 0.5, BLACK)
    c.ellipse((28, 34, 72, 78), METAL)
    c.ellipse((33, 39, 67, 73), BLACK)
    c.ellipse((39, 45, 61, 67), GLASS)
    c.ellipse((43, 48, 50, 55), SKY, is_outlined=False)
    c.ellipse((80, 36, 87, 42), p.accent)


def speaker(c: Canvas, p: Palette) -> None:
    c.box((26, 10, 74, 88), 6, p.main)
    c.ellipse((37, 16, 63, 42), BLACK)
    c.ellipse((45, 24, 55, 34), p.accent)
    c.ellipse((30, 46, 70, 84), BLACK)
    c.ellipse((37, 52, 63, 78), p.dark)
    c.ellipse((45, 60, 55, 70), p.accent)


def game_controller(c: Canvas, p: Palette) -> None:
    c.smooth(
        [
            (20, 36),
            (38, 34),
            (50, 38),
            (62, 34),
            (80, 36),
            (92, 58),
            (94, 76),
            (85, 80),
            (70, 66),
            (30, 66),
            (15, 80),
            (6, 76),
            (8, 58),
        ],
        p.main,
    )
    c.box((22, 48, 38, 53), 1, BLACK)
    c.box((27.5, 42.5, 32.5, 58.5), 1, BLACK)
    for x, y, paint in ((70, 43, GOLD), (77, 50, p.accent), (70, 57, Paint((206, 70, 70))), (63, 50, SKY)):
        c.ellipse((x - 3.4, y - 3.4, x + 3.4, y + 3.4), paint)
    c.ellipse((36, 56, 46, 66), p.dark)
    c.ellipse((54, 56, 64, 66), p.dark)


def handheld_console(c: Canvas, p: Palette) -> None:
    c.box((3, 30, 97, 74), 10, p.main)
    c.box((24, 34, 76, 70), 2, Paint((26, 34, 54)))
    c.smooth([(24, 70), (24, 62), (38, 56), (54, 64), (76, 54), (76, 70)], Paint((90, 170, 96)), is_outlined=False)
    c.ellipse((60, 39, 68, 47), GOLD, is_outlined=False)
    c.ellipse((8, 37, 19, 48), BLACK)
    c.box((12, 54, 15, 66), 0.6, BLACK)
    c.box((7.5, 58.5, 19.5, 61.5), 0.6, BLACK)
    for x, y in ((86, 38), (91, 43), (86, 48), (81, 43)):
        c.ellipse((x - 2.4, y - 2.4, x + 2.4, y + 2.4), p.accent)
    c.ellipse((81, 56, 92, 67), BLACK)


def keyboard(c: Canvas, p: Palette) -> None:
    c.box((4, 36, 96, 78), 4, p.main)
    for row in range(4):
        for column in range(10):
            x, y = 8 + column * 8.5, 40 + row * 9
            paint = p.accent if (row * 7 + column * 3) % 11 == 0 else WHITE
            c.box((x, y, x + 7, y + 7.4), 1.2, paint, is_outlined=False)
    c.box((29, 67.5, 70, 75), 1.2, WHITE, is_outlined=False)


def football(c: Canvas, p: Palette) -> None:
    c.ellipse((15, 17, 85, 87), Paint(WHITE.colour, p.main.colour, p.main.pattern))
    c.poly([(50, 38), (62, 47), (57, 61), (43, 61), (38, 47)], p.main.plain())
    edges = (((50, 38), (50, 24)), ((62, 47), (76, 42)), ((57, 61), (66, 74)), ((43, 61), (34, 74)), ((38, 47), (24, 42)))
    for start, end in edges:
        c.line([start, end], 1.2, BLACK.colour)
    patches = (
        [(42, 18.5), (58, 18.5), (55, 25), (45, 25)],
        [(83.5, 42), (84.5, 58), (78, 52), (75, 42)],
        [(74, 77), (62, 84.5), (62, 77), (68, 71)],
        [(26, 77), (38, 84.5), (38, 77), (32, 71)],
        [(16.5, 42), (15.5, 58), (22, 52), (25, 42)],
    )
    for patch in patches:
        c.poly(patch, p.main.plain())


def dumbbell(c: Canvas, p: Palette) -> None:
    c.box((26, 48, 74, 57), 2, METAL)
    for x in (16, 72):
        c.box((x, 28, x + 12, 77), 4, p.main)
    for x in (8, 84):
        c.box((x, 36, x + 8, 69), 3, p.dark)
    for x in (40, 46, 52, 58):
        c.line([(x, 49), (x, 56)], 0.8, BLACK.colour)


def tennis_racket(c: Canvas, p: Palette) -> None:
    c.ellipse((34, 6, 90, 60), p.main)
    c.ellipse((39, 10.5, 85, 55.5), CREAM)
    for step in range(1, 7):
        c.line([(39 + step * 6.6, 14), (39 + step * 6.6, 52)], 0.5, METAL.shade(0.7).colour)
        c.line([(42, 10 + step * 6.4), (82, 10 + step * 6.4)], 0.5, METAL.shade(0.7).colour)
    c.poly([(36, 44), (42, 54), (52, 60), (36, 70), (31, 66)], p.dark)
    c.poly([(34, 62), (40, 68), (18, 92), (10, 86)], p.accent)
    c.ellipse((74, 66, 92, 84), Paint((208, 224, 70)))


def yoga_mat(c: Canvas, p: Palette) -> None:
    c.poly([(24, 66), (88, 62), (97, 80), (24, 84)], p.main)
    c.line([(78, 63), (86, 80)], 2.4, p.accent.colour)
    c.ellipse((6, 44, 46, 84), p.main)
    for inset in (4, 8.5, 13):
        c.arc((6 + inset, 44 + inset, 46 - inset, 84 - inset), 20, 340, 1.3, p.dark.colour)
    c.ellipse((23, 61, 29, 67), p.dark)


def bicycle(c: Canvas, p: Palette) -> None:
    for x in (24, 76):
        c.arc((x - 19, 46, x + 19, 84), 0, 360, 3, BLACK.colour)
        for dx, dy in ((0, 17), (17, 0), (12, 12), (12, -12)):
            c.line([(x - dx, 65 - dy), (x + dx, 65 + dy)], 0.4, METAL.colour)
        c.ellipse((x - 2.4, 62.6, x + 2.4, 67.4), METAL)
    colour = p.main.colour
    for a, b in (
        ((24, 65), (40, 40)),
        ((40, 40), (66, 38)),
        ((66, 38), (48, 66)),
        ((48, 66), (24, 65)),
        ((48, 66), (38, 33)),
        ((64, 30), (76, 65)),
    ):
        c.line([a, b], 3, colour)
    c.box((30, 28, 46, 33), 2, p.dark)
    c.line([(64, 30), (60, 24), (70, 22)], 2.4, BLACK.colour)
    c.ellipse((43, 61, 53, 71), p.accent)


def toy_car(c: Canvas, p: Palette) -> None:
    c.smooth([(24, 50), (34, 30), (46, 27), (62, 28), (76, 50), (50, 56)], p.dark)
    c.poly([(33, 47), (39, 34), (49, 33), (49, 47)], SKY)
    c.poly([(53, 47), (53, 33), (61, 34), (69, 47)], SKY)
    c.smooth([(6, 70), (7, 56), (16, 49), (50, 47), (84, 49), (94, 57), (95, 70), (90, 76), (10, 76)], p.main)
    c.ellipse((85, 54, 93, 61), GOLD)
    for x in (28, 73):
        c.ellipse((x - 12, 63, x + 12, 87), BLACK)
        c.ellipse((x - 6, 69, x + 6, 81), p.accent)


def teddy_bear(c: Canvas, p: Palette) -> None:
    for x in (30, 70):
        c.ellipse((x - 9, 10, x + 9, 28), p.main)
        c.ellipse((x - 5, 14, x + 5, 24), p.accent)
    c.ellipse((10, 50, 36, 68), p.main)
    c.ellipse((64, 50, 90, 68), p.main)
    c.ellipse((26, 46, 74, 86), p.main)
    c.ellipse((36, 54, 64, 80), p.accent)
    c.ellipse((18, 74, 42, 92), p.main)
    c.ellipse((58, 74, 82, 92), p.main)
    c.ellipse((26, 14, 74, 54), p.main)
    c.ellipse((39, 34, 61, 51), CREAM)
    for x in (40, 60):
        c.ellipse((x - 2.4, 27, x + 2.4, 32), BLACK)
    c.ellipse((46, 35, 54, 41), BLACK)
    c.arc((44, 36, 56, 48), 30, 150, 1, BLACK.colour)


def building_blocks(c: Canvas, p: Palette) -> None:
    places = ((12, 58, p.main), (41, 58, p.accent), (66, 58, p.dark), (26, 32, Paint((236, 190, 60))), (54, 32, p.main))
    for x, y, paint in places:
        for dx in (4, 14):
            c.box((x + dx, y - 5, x + dx + 7, y + 3), 1.2, paint)
        c.box((x, y, x + 25, y + 26), 1.6, paint)
    c.box((44, 8, 62, 32), 1.6, Paint((206, 74, 66)))


def rubber_duck(c: Canvas, p: Palette) -> None:
    c.smooth([(12, 50), (22, 60), (40, 54), (70, 54), (90, 62), (88, 80), (66, 86), (30, 86), (14, 74)], p.main)
    c.ellipse((50, 14, 86, 54), p.main)
    c.smooth([(82, 32), (97, 33), (97, 40), (83, 42)], Paint((238, 136, 44)))
    c.ellipse((69, 25, 76, 33), BLACK)
    c.ellipse((72, 26, 74.5, 29), WHITE, is_outlined=False)
    c.smooth([(28, 62), (46, 60), (58, 66), (50, 76), (34, 76)], p.dark)


def pram(c: Canvas, p: Palette) -> None:
    c.line([(72, 52), (92, 26), (97, 28)], 3, BLACK.colour)
    c.smooth([(12, 48), (16, 26), (32, 12), (48, 12), (48, 48)], p.dark)
    c.smooth([(10, 46), (80, 46), (78, 60), (66, 72), (30, 72), (14, 62)], p.main)
    c.line([(10, 47), (80, 47)], 2.4, p.accent.colour)
    c.line([(30, 71), (62, 82)], 2, METAL.shade(0.7).colour)
    c.line([(62, 71), (30, 82)], 2, METAL.shade(0.7).colour)
    for x in (28, 66):
        c.ellipse((x - 9, 72, x + 9, 90), BLACK)
        c.ellipse((x - 4.5, 76.5, x + 4.5, 85.5), METAL)


def baby_bottle(c: Canvas, p: Palette) -> None:
    c.smooth([(50, 6), (56, 14), (58, 24), (42, 24), (44, 14)], Paint((236, 200, 160)))
    c.box((36, 23, 64, 34), 3, p.main)
    c.smooth([(38, 34), (62, 34), (67, 46), (67, 82), (60, 88), (40, 88), (33, 82), (33, 46)], WHITE)
    c.smooth([(34, 54), (66, 54), (66, 82), (60, 87), (40, 87), (34, 82)], p.main)
    for y in (50, 57, 64, 71, 78):
        c.line([(56, y), (63, y)], 1, p.dark.colour)


def book(c: Canvas, p: Palette) -> None:
    c.poly([(24, 18), (30, 12), (82, 12), (82, 82), (76, 88), (24, 88)], CREAM)
    for y in (14, 16):
        c.line([(28, y), (80, y)], 0.5, METAL.colour)
    c.box((20, 18, 76, 88), 2, p.main)
    c.box((20, 18, 28, 88), 1, p.dark)
    c.box((36, 28, 68, 46), 1, p.accent)
    c.line([(40, 34), (64, 34)], 1.4, p.dark.colour)
    c.line([(44, 40), (60, 40)], 1.2, p.dark.colour)
    c.ellipse((44, 58, 60, 74), p.accent)


def notebook(c: Canvas, p: Palette) -> None:
    c.box((24, 12, 80, 88), 4, p.main)
    c.box((40, 26, 70, 42), 2, WHITE)
    for y in (31, 36):
        c.line([(44, y), (66, y)], 0.8, METAL.colour)
    c.box((70, 12, 73.5, 88), 0.3, p.accent)
    for y in range(18, 86, 8):
        c.ellipse((21, y - 1.6, 29, y + 1.8), METAL)


def pencil(c: Canvas, p: Palette) -> None:
    c.poly([(26, 66), (70, 14), (82, 24), (38, 76)], p.main)
    c.line([(32, 70), (76, 19)], 1, p.dark.colour)
    c.poly([(26, 66), (38, 76), (18, 87)], CREAM)
    c.poly([(22, 77), (26.5, 81.5), (18, 87)], BLACK)
    c.poly([(70, 14), (74, 9.5), (86, 19.5), (82, 24)], METAL)
    c.smooth([(74, 9.5), (79, 5), (90, 14), (86, 19.5)], Paint((232, 132, 140)))


def puzzle(c: Canvas, p: Palette) -> None:
    for x, y, paint in ((14, 16, p.main), (50, 16, p.accent), (14, 52, p.dark), (50, 52, p.main)):
        c.box((x, y, x + 36, y + 36), 2, paint)
    for x, y, paint in ((50, 34, p.main), (32, 52, p.main), (68, 52, p.accent), (50, 70, p.dark)):
        c.ellipse((x - 6, y - 6, x + 6, y + 6), paint, is_outlined=False)
        c.arc((x - 6, y - 6, x + 6, y + 6), 0, 360, 0.7, BLACK.colour)


def guitar(c: Canvas, p: Palette) -> None:
    c.poly([(47, 44), (53, 44), (52.4, 10), (47.6, 10)], BROWN)
    c.box((45, 4, 55, 14), 1.5, BLACK)
    c.smooth(
        [
            (50, 40),
            (62, 43),
            (65, 52),
            (61, 59),
            (69, 68),
            (68, 82),
            (50, 90),
            (32, 82),
            (31, 68),
            (39, 59),
            (35, 52),
            (38, 43),
        ],
        p.main,
    )
    c.ellipse((43, 55, 57, 69), BLACK)
    c.box((42, 76, 58, 80), 0.8, WOOD)
    for x in (48.4, 50, 51.6):
        c.line([(x, 10), (x, 77)], 0.35, CREAM.colour)


LEISURE = {
    drawing.__name__: drawing
    for drawing in (
        phone, headphones, laptop, camera, speaker, game_controller, handheld_console, keyboard, football, dumbbell,
        tennis_racket, yoga_mat, bicycle, toy_car, teddy_bear, building_blocks, rubber_duck, pram, baby_bottle, book, notebook,
        pencil, puzzle, guitar,
    )
}  # fmt: skip
