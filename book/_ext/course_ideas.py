"""The map of ideas: which equation leads to which, as a table, in the order of the story.

An edge leads from an idea that stands earlier in IDEAS to a later one, and where the map is wide from a place to a
neighbouring one. Tests hold both, and that the numbers are those of the notebooks.
"""

from typing import NamedTuple


class Idea(NamedTuple):
    """An equation by its number; what it is, in few words; its column and row where the map is wide."""

    tag: str
    name: str
    column: int
    row: int
    goal: bool = False  # one of the objects that the course is about


class Step(NamedTuple):
    """How one equation comes from another, in two to four words."""

    start: str
    end: str
    what: str


IDEAS = [
    Idea("1.2", "Likelihood, an average over z", 1, 0),
    Idea("1.5", "The VAE’s bound", 1, 1, goal=True),
    Idea("1.12", "K weights, a tighter bound", 2, 1),
    Idea("1.6", "What the bound loses", 1, 2),
    Idea("0.3", "The best score, H", 0, 1),
    Idea("1.11", "Two causes of a gap", 0, 2),
    Idea("1.9", "Reconstruction minus a KL", 2, 2),
    Idea("1.8", "Reparameterisation", 2, 3),
    Idea("2.5", "The HVAE’s bound", 1, 3, goal=True),
    Idea("2.6", "A loss at each level", 0, 3),
    Idea("2.12", "A level seen from both sides", 0, 4),
    Idea("3.2", "q is one step of noise", 2, 4),
    Idea("3.4", "t steps in one draw", 2, 5),
    Idea("3.9", "The way back, if x₀ is known", 2, 6),
    Idea("3.10", "The model’s step back", 2, 7),
    Idea("3.11", "Diffusion’s bound", 1, 4, goal=True),
    Idea("3.13", "A step of q, turned round", 1, 5),
    Idea("3.16", "The terms, in closed form", 1, 6),
    Idea("3.6", "Is the end noise yet?", 0, 6),
    Idea("3.17", "An error of x₀, in nats", 1, 7),
    Idea("3.21", "The best variance", 0, 7),
    Idea("4.9", "The mean, written with ε", 2, 8),
    Idea("4.10", "An error of ε, in nats", 1, 8),
    Idea("4.12", "DDPM’s simple loss", 1, 9, goal=True),
    Idea("0.7", "The best guess of the noise", 2, 10),
    Idea("4.16", "The best ε is the score", 1, 10),
    Idea("4.19", "Samples, step by step", 2, 9),
    Idea("5.4", "A variance for each range of x₀", 0, 8),
    Idea("5.3", "Grey levels, in bins", 0, 9),
    Idea("5.1", "MNIST, in bits per pixel", 0, 10, goal=True),
    Idea("6.3", "Score matching and its floor", 1, 11),
    Idea("6.7", "A score’s error, in nats", 0, 11),
    Idea("6.11", "How sure the guess is", 2, 11),
    Idea("6.13", "A Langevin step", 1, 12),
    Idea("6.16", "What a step is wrong by", 0, 12),
    Idea("6.14", "Fokker–Planck", 2, 12),
    Idea("6.23", "How long to forget", 2, 13),
    Idea("6.24", "Annealed Langevin", 1, 13, goal=True),
    Idea("7.5", "Back with noise, or without", 1, 14),
    Idea("7.8", "DDIM", 2, 15),
    Idea("7.10", "How density changes on the way", 1, 15),
    Idea("7.13", "The gap without steps", 0, 15),
    Idea("7.11", "log p(x) by an ODE", 1, 16, goal=True),
    Idea("8.4", "What a step costs", 0, 16),
    Idea("8.6", "What one variance cannot say", 0, 17),
    Idea("8.8", "The best schedule", 1, 17, goal=True),
    Idea("9.2", "The score, given a label", 2, 14, goal=True),
    Idea("10.5", "The velocity, one more name", 2, 16),
    Idea("10.6", "Euler on the flow is DDIM", 2, 17, goal=True),
    Idea("10.7", "What a flow’s loss weighs", 2, 18),
    Idea("11.3", "A chain on a chain", 2, 0, goal=True),
]
STEPS = [
    Step("1.2", "1.5", "Jensen"),
    Step("1.5", "1.12", "average K weights"),
    Step("1.5", "1.6", "name the rest"),
    Step("1.6", "1.11", "average over x"),
    Step("0.3", "1.11", "subtract H"),
    Step("1.5", "1.9", "split the log"),
    Step("1.9", "1.8", "differentiate"),
    Step("1.9", "2.5", "more levels"),
    Step("1.6", "2.6", "chain rule"),
    Step("2.5", "2.12", "Bayes, given x"),
    Step("2.5", "3.2", "fix q"),
    Step("3.2", "3.4", "multiply t steps"),
    Step("3.4", "3.9", "Bayes, complete the square"),
    Step("3.9", "3.10", "guess x₀"),
    Step("2.5", "3.11", "same function"),
    Step("3.2", "3.11", "put in"),
    Step("3.11", "3.13", "Bayes, given x₀"),
    Step("2.12", "3.13", "solve for the step"),
    Step("3.13", "3.16", "telescope, average"),
    Step("3.16", "3.6", "its last term"),
    Step("3.16", "3.17", "KL of Gaussians"),
    Step("3.10", "3.17", "put in"),
    Step("3.17", "3.21", "minimise"),
    Step("3.10", "4.9", "ε for x₀"),
    Step("3.17", "4.10", "ε for x₀"),
    Step("4.9", "4.10", "put in"),
    Step("4.10", "4.12", "drop the weights"),
    Step("4.12", "4.16", "its minimum"),
    Step("0.7", "4.16", "at every t"),
    Step("4.9", "4.19", "add noise"),
    Step("3.21", "5.4", "range by range"),
    Step("5.4", "5.3", "as its variance"),
    Step("4.10", "5.3", "bins for L₀"),
    Step("5.3", "5.1", "add up, in bits"),
    Step("4.16", "6.3", "over 1 − ᾱ"),
    Step("6.3", "6.7", "over log SNR"),
    Step("0.7", "6.11", "differentiate again"),
    Step("6.3", "6.13", "uphill, and shake"),
    Step("6.13", "6.16", "on a strand"),
    Step("6.13", "6.14", "follow p"),
    Step("6.14", "6.23", "its spectrum"),
    Step("6.23", "6.24", "so anneal"),
    Step("6.13", "6.24", "level by level"),
    Step("6.24", "7.5", "all levels at once"),
    Step("7.5", "7.8", "freeze the noise"),
    Step("7.5", "7.10", "no noise"),
    Step("7.5", "7.13", "a learned score"),
    Step("7.10", "7.11", "add up"),
    Step("7.13", "8.4", "steps again"),
    Step("8.4", "8.6", "small ones"),
    Step("8.6", "8.8", "equal lengths"),
    Step("7.8", "10.5", "along a line"),
    Step("10.5", "10.6", "one step"),
    Step("10.6", "10.7", "new is the loss"),
    Step("7.5", "9.2", "Bayes, for y"),
    Step("1.2", "11.3", "another prior"),
]
