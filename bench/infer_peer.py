"""One timed process of bench/infer.py: timm's NesT without gradients, by one of the engines; one JSON line. With --export it
writes the ONNX model that two of them read."""
import json
import sys
import time

import numpy

engine, name, onnx_file, batch, threads, runs, dtype = sys.argv[1:]
batch, threads, runs = int(batch), int(threads), int(runs)


def timm_model():
    import timm
    import torch

    torch.set_num_threads(threads)
    torch.manual_seed(1)
    return timm.create_model(name).eval()


if engine == "export":
    import torch

    model = timm_model()
    torch.onnx.export(model, torch.zeros(batch, 3, 224, 224), onnx_file, input_names=["x"], opset_version=18, dynamo=False)
    print("{}")
    sys.exit()

images = numpy.random.default_rng(1).standard_normal((batch, 3, 224, 224), dtype=numpy.float32)
begun = time.perf_counter()
if engine == "openvino":
    import openvino

    compiled = openvino.Core().compile_model(onnx_file, "CPU", {
        "INFERENCE_NUM_THREADS": threads, "NUM_STREAMS": 1, "INFERENCE_PRECISION_HINT": dtype})
    request = compiled.create_infer_request()

    def run():
        return request.infer([images])
elif engine == "onnxruntime":
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(onnx_file, options, providers=["CPUExecutionProvider"])

    def run():
        return session.run(None, {"x": images})
else:
    import torch

    model = timm_model()
    tensor = torch.from_numpy(images)
    if engine == "compile":
        torch._inductor.config.freezing = True
        model = torch.compile(model)

    def run():
        grads_off = torch.inference_mode() if engine == "eager" else torch.no_grad()
        with grads_off, torch.autocast("cpu", torch.bfloat16, enabled=dtype == "bf16"):
            return model(tensor)

run()
first = time.perf_counter() - begun
run()
seconds = []
for _ in range(runs):
    start = time.perf_counter()
    run()
    seconds.append(time.perf_counter() - start)
seconds.sort()
print(json.dumps({"images_per_s": batch / seconds[len(seconds) // 2], "first_answer_s": first}))
