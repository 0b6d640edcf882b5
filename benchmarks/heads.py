"""scratch runner"""
from __future__ import annotations
import argparse, asyncio, sys
from pathlib import Path
from real_models.files import model_file, records
from real_models.stepwise import Draws, draw
from langchain_qstar.models.llamacpp.policy import LlamaCppPolicy
from langchain_qstar.tasks import fit_task, get_task

p = argparse.ArgumentParser()
p.add_argument("--questions", type=int, default=40); p.add_argument("--skip", type=int, default=0)
p.add_argument("--samples", type=int, default=4)
p.add_argument("--temperature", type=float, default=0.8); p.add_argument("--top-p", type=float, default=1.0); p.add_argument("--top-k", type=int, default=0)
p.add_argument("--rows"); p.add_argument("--task", default="gsm8k"); p.add_argument("--split", default="train")
o = p.parse_args()
file = model_file("qwen2.5-coder-0.5b")
policy = LlamaCppPolicy(file, threads=1, max_rows=48)
policy.feature_layers = (24,)
task = fit_task(get_task(o.task), policy)
qs = records(o.task if o.split == "test" else f"{o.task}_{o.split}", o.questions)[o.skip:]
asyncio.run(draw(policy, task, qs, o.samples, Draws(o.temperature, o.top_p, o.top_k), Path(o.rows)))
