"""The lines of "arrakis-aot model PATH TIER", through ctypes. usage: caller.py LIBRARY PATH TIER HOOK..."""
import ctypes as c
import sys
from functools import reduce


def call(name, *arguments):
    """Calls a function; an array is passed with its length after it, None as an array of none."""
    passed = [p for a in arguments for p in ((a, c.c_size_t(len(a))) if isinstance(a, c.Array) else (None, c.c_size_t(0)) if a is None else (a,))]
    if getattr(library, "arrakis_" + name)(*passed):
        library.arrakis_last_error(message := c.create_string_buffer(512), c.c_size_t(512))
        sys.exit(message.value.decode())


def line(name, values):
    print(name, len(values), f"{reduce(lambda h, b: (h ^ b) * 1099511628211 % 2**64, bytes(values), 14695981039346656037):016x}")


library, ids, model, session, shape, extents = c.CDLL(sys.argv[1]), [1, 17, 4, 31, 17, 4, 9], c.c_void_p(), c.c_void_p(), (c.c_int32 * 8)(), (c.c_size_t * 3)()
call("model_open", sys.argv[2].encode(), 1, c.byref(model))
call("model_shape", model, c.byref(shape))
print("shape", *shape)
call("session_open", model, b"all", 2, int(sys.argv[3]), c.byref(session))
heads, logits = shape[1], (c.c_float * shape[6])()
for name, function, part in [("logits", "forward", ids[:-1]), ("decoded", "append", ids[-1:]), (None, "forward", ids)]:
    call(function, session, (c.c_int32 * len(part))(*part), logits if name else None)
    line(name, logits) if name else None
for name in sys.argv[4:]:
    call("hook", session, name.encode(), None, c.byref(extents))
    call("hook", session, name.encode(), values := (c.c_float * (extents[0] * extents[1] * (extents[2] or 1)))(), c.byref(extents))
    line(name, values)
sizes = [("norms", c.c_float, 7 * heads), ("shares", c.c_float, 7 * heads), ("weights", c.c_double, 3 * heads), ("reads", c.c_float, 21 * heads), ("flow", c.c_double, 3), ("through", c.c_double, 2 * heads), ("sources", c.c_double, 7)]
arrays = {name: (kind * size)() for name, kind, size in sizes}
call("write_norms", session, 0, arrays["norms"], arrays["shares"])
call("read_projections", session, 1, 7, c.POINTER(c.c_float)(), arrays["weights"], arrays["reads"])
call("flow", session, c.byref((c.c_int32 * 6)(1, 6, 0, 2, -1, 0)), c.byref(arrays["flow"]), arrays["through"], arrays["sources"])
for name, values in arrays.items():
    line(name, values)
