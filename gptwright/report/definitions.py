"""What each figure of the page means, in words for a first reader."""

DEFINITIONS = (
    ("Accuracy", "The share of answers that are right, over held-out prompts with a right and a wrong."),
    (
        "Gold score",
        "From 0 to 1, how well an answer does what was asked, by the rules of the task. "
        "It stands for what people want; PPO never sees it.",
    ),
    (
        "Interval",
        "If as many prompts were drawn anew, again and again, 95 of 100 such intervals would hold the true value. "
        "Wilson's for shares, a bootstrap over prompts for the rest. "
        "To say that one model is better, look for a win rate whose interval stays clear of 50%.",
    ),
    (
        "Win rate",
        "On the same prompt, how often the first model's answer has the higher gold score; a tie counts half.",
    ),
    (
        "Loss, bits per byte",
        "How surprised a model is by held-out text: in nats per token, or in bits per byte of text, "
        "which allows comparison between tokenizers. Lower is better.",
    ),
    (
        "Reward",
        "What the reward model thinks of an answer. It is a learned stand-in for the gold score: "
        "where it rises and the gold score falls, PPO is exploiting its mistakes.",
    ),
    (
        "Ceiling",
        "The pair accuracy of a judge who knows each answer's true worth. "
        "Labellers err, so no reward model can be expected above it.",
    ),
    (
        "KL",
        "How far PPO's model has moved from SFT's, in nats. "
        "k1 is the mean log-ratio; k3 estimates the same and is never negative.",
    ),
    ("Entropy", "How undecided a model is about its next token, in nats. Reinforcement learning tends to lower it."),
    (
        "Distinct-n, self-BLEU, same opening",
        "Different runs of n words over all of them (higher is more varied), how much answers resemble each other, "
        "and how many pairs of answers begin with the same three words (lower is more varied).",
    ),
    (
        "Frontier",
        "What an answer gains against how far the policy has moved, drawn over the square root of the KL, in which the "
        "gain is about a straight line at first (Gao et al. 2022). Where the reward goes on and the gold score turns, "
        "the reward is being hacked.",
    ),
    (
        "Clip fraction, returns, explained variance",
        "PPO's steps are cut off where a token's probability has changed by more than the clip range (0.2) since it "
        "was sampled. Returns are the rewards still to come; explained variance is 1 where the value model foresees "
        "them exactly and 0 where a constant would do as well.",
    ),
    (
        "Calibration error, correlation with length",
        "How far, on average, the chances that the reward model gives differ from the shares that come true; and "
        "whether it likes long answers (1), short ones (-1) or neither (0).",
    ),
    ("Compute", "Operations of training, 6 per parameter and token plus attention; rollouts count forward passes."),
)
