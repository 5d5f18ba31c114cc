"""A terminal emulator for the control sequences that nemo-jobs writes."""

from __future__ import annotations

import re


class Emulated:
    """Rows of text and a cursor; rows that scroll off are in `past`."""

    def __init__(self, rows=24, columns=80):
        self.rows, self.columns = rows, columns
        self.lines = [""] * rows
        self.past = []
        self.row = self.column = 0
        self.hidden = False
        self.wraps = True

    def feed(self, text):
        """Write to the screen; a line feed also returns to the first column."""
        for part in re.findall(r"\x1b\[[0-9;?]*[A-Za-z]|\r|\n|[^\x1b\r\n]+", text):
            if part[0] == "\x1b":
                self._control(part[2:-1], part[-1])
            elif part == "\r":
                self.column = 0
            elif part == "\n":
                self._line_feed()
            else:
                self._print(part)
        return self

    def shown(self):
        """Return the rows as text without trailing empty ones."""
        return "\n".join(line.rstrip() for line in self.lines).rstrip("\n")

    def _line_feed(self):
        self.row, self.column = self.row + 1, 0
        if self.row == self.rows:
            self.past.append(self.lines.pop(0))
            self.lines.append("")
            self.row -= 1

    def _print(self, text):
        for character in text:
            if self.column == self.columns:
                if self.wraps:
                    self._line_feed()
                else:
                    self.column -= 1
            line = self.lines[self.row].ljust(self.columns)
            self.lines[self.row] = line[: self.column] + character + line[self.column + 1 :]
            self.column += 1

    def _control(self, number, letter):
        count = int(number) if number.isdigit() else 1
        if letter == "A":
            self.row = max(0, self.row - count)
        elif letter == "B":
            self.row = min(self.rows - 1, self.row + count)
        elif letter == "K":
            self.lines[self.row] = self.lines[self.row][: self.column]
        elif letter == "J":
            if (self.row, self.column) == (0, 0):  # tmux keeps the rows of a screen that is erased completely
                self.past += self.shown().splitlines()
            self.lines[self.row] = self.lines[self.row][: self.column]
            self.lines[self.row + 1 :] = [""] * (self.rows - self.row - 1)
        elif number == "?25":
            self.hidden = letter == "l"
        elif number == "?7":
            self.wraps = letter == "h"
        else:
            assert letter == "m", (number, letter)
