"""One timed process of bench/infer/run.py: timm's NesT without gradients, by one of the engines;
one JSON line. "export" writes the ONNX model that two of them read, for int8 quantised by each
one's own tool: NNCF's for transformers, ONNX Runtime's dynamic."""
import json
import pathlib
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
    torch.onnx.export(model, torch.zeros(batch, 3, 224, 224), onnx_file, input_names=["x"],
                      opset_version=18, dynamo=False)
    print("{}")
    sys.exit()

int8_file = pathlib.Path(onnx_file).with_suffix(
    {"openvino": ".int8.xml", "onnxruntime": ".int8.onnx"}.get(engine, ""))


def noise(seed):
    draw = numpy.random.default_rng(seed)
    return draw.standard_normal((batch, 3, 224, 224), dtype=numpy.float32)


def quantise():
    if engine == "onnxruntime":
        from onnxruntime.quantization import quantize_dynamic

        quantize_dynamic(onnx_file, int8_file)
        return
    import nncf
    import openvino

    calibration = [noise(i) for i in range(8)]
    model = nncf.quantize(openvino.Core().read_model(onnx_file), nncf.Dataset(calibration),
                          model_type=nncf.ModelType.TRANSFORMER)
    openvino.save_model(model, int8_file)


if dtype == "int8" and not int8_file.exists():
    quantise()
read_file = str(int8_file) if dtype == "int8" else onnx_file

images = noise(1)
begun = time.perf_counter()
if engine == "openvino":
    import openvino

    options = {"INFERENCE_NUM_THREADS": threads, "NUM_STREAMS": 1}
    options["INFERENCE_PRECISION_HINT"] = "f32" if dtype == "int8" else dtype
    compiled = openvino.Core().compile_model(read_file, "CPU", options)
    request = compiled.create_infer_request()

    def run():
        return request.infer([images])
elif engine == "onnxruntime":
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(read_file, options, providers=["CPUExecutionProvider"])

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
