"""Train a Q-value head for a model on its own rollouts, and search with it.

This takes twelve questions so that it ends in seconds; take a thousand for a head of use.
"""

from pathlib import Path
from tempfile import TemporaryDirectory

from langchain_qstar import (
    LabelSettings,
    QStarChain,
    ValueRecipe,
    collect_labels,
    get_task,
    resolve_policy,
    train_value_model,
)
from langchain_qstar.training.questions import nano_questions


def main() -> None:
    """Label, train, search."""
    policy, task = resolve_policy("nano"), get_task("nano")
    with TemporaryDirectory() as folder:
        # Your own: [GradedQuestion("What is 2 and 3?", "5"), ...], or read_questions(FILE).
        questions = nano_questions(12)
        labels = collect_labels(
            questions, policy, task, Path(folder, "labels.jsonl"), LabelSettings(samples=4)
        )
        head = Path(folder, "head")
        recipe = ValueRecipe(kind="linear", epochs=5)
        trained = train_value_model(labels, policy, task, head, recipe)
        print(f"AUC within a problem: {trained.figures['within_problem_auc_last']:.2f}")
        chain = QStarChain(policy, q_model=str(head), settings={"max_pops": 12})
        solution = chain.invoke("Ann has 3 boxes with 4 pens each. How many pens does Ann have?")
        print(f"{solution.q_model}: {solution.answer}")


if __name__ == "__main__":
    main()
