"""A process that runs a plan again and again in children of its own, to be killed at any moment.

``python killed.py HOME``: after ``ready``, each line on stdin is the name of an output folder; the child's number comes
back at once, and its exit status when it has ended. A child is a fork, so that nothing is imported twice.
"""

import os
import sys
import traceback
from pathlib import Path


def main() -> None:
    import torch

    torch.set_num_threads(1)
    from plan_runs import run_home, use_models

    use_models()
    home = Path(sys.argv[1])
    run_home(home, "first")  # and what is only imported when it is needed
    print("ready", flush=True)
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            code = 1
            try:
                run_home(home, line.strip())
                code = 0
            except BaseException:
                traceback.print_exc()
            finally:
                os._exit(code)
        print(child, flush=True)
        print(os.waitpid(child, 0)[1], flush=True)


if __name__ == "__main__":
    main()
