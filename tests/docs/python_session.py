"""The Python of a page: runs its blocks one after another in one namespace.

A line of JSON on standard input is a block, `{"code": ..., "name": ...}`; a line `done` on what was standard error
says that it is, another that it failed. What blocks print goes to standard output, a last expression's value, too.
"""

import ast
import json
import os
import sys
import traceback


def run(code: str, name: str, names: dict) -> None:
    """Runs a block; prints the value of its last statement, where that has one, as notebooks do."""
    tree = ast.parse(code, name)
    last = tree.body.pop() if tree.body and isinstance(tree.body[-1], ast.Expr) else None
    exec(compile(tree, name, "exec"), names)
    if isinstance(last, ast.Expr):
        value = eval(compile(ast.Expression(last.value), name, "eval"), names)
        if value is not None:
            print(repr(value))


if __name__ == "__main__":
    done = os.fdopen(os.dup(2), "w", buffering=1)
    os.dup2(1, 2)
    sys.path[0] = ""
    namespace = {"__name__": "__main__"}
    for line in sys.stdin:
        try:
            run(**json.loads(line), names=namespace)
            said = "done"
        except BaseException:
            traceback.print_exc()
            said = "failed"
        sys.stdout.flush()
        print(said, file=done)
