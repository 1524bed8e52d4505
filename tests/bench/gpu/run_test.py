"""What bench/gpu/run.py takes for success, and that its images can be learned. No GPU, nothing
built."""
import contextlib
import importlib.util
import io
import sys
import tempfile
import unittest
from pathlib import Path

sys.dont_write_bytecode = True
SOURCE = Path(__file__).resolve().parents[3] / "bench/gpu/run.py"
spec = importlib.util.spec_from_file_location("gpu_run", SOURCE)
gpu_run = importlib.util.module_from_spec(spec)
spec.loader.exec_module(gpu_run)

GOOD = '{"check": "a", "difference": 1e-9, "good": true}'
MISSED = '{"check": "b", "difference": NaN, "good": false}'


def shell(script):
    return ["sh", "-c", script]


class Lines(unittest.TestCase):
    def test_good_and_missed_checks_come_back(self):
        self.assertEqual(len(gpu_run.lines_of(*shell(f"echo '{GOOD}'"))), 1)
        lines = gpu_run.lines_of(*shell(f"echo '{GOOD}'; echo '{MISSED}'; exit 1"))
        self.assertEqual([line["good"] for line in lines], [True, False])

    def test_a_crash_after_the_first_line_is_an_error_with_its_text(self):
        for end in ["kill -SEGV $$", "exit 1", "exit 2"]:
            with self.assertRaises(SystemExit) as stop:
                gpu_run.lines_of(*shell(f"echo '{GOOD}'; echo broken >&2; {end}"))
            self.assertIn("broken", str(stop.exception))

    def test_a_missed_check_must_show_in_the_exit_code(self):
        with self.assertRaises(SystemExit):
            gpu_run.lines_of(*shell(f"echo '{MISSED}'"))

    def test_nothing_printed_is_an_error(self):
        with self.assertRaises(SystemExit):
            gpu_run.lines_of("true")


class Runs(unittest.TestCase):
    def test_a_failed_run_shows_what_it_said(self):
        with self.assertRaises(SystemExit) as stop:
            gpu_run.run_to_the_end(shell("echo no GPU >&2; exit 1"))
        self.assertIn("no GPU", str(stop.exception))

    def test_a_run_that_ends_before_it_is_stopped_is_an_error(self):
        with tempfile.TemporaryDirectory() as scratch:
            for code in [0, 1]:
                with self.assertRaises(SystemExit) as stop:
                    command = shell(f"echo ended >&2; exit {code}")
                    gpu_run.run_and_stop(command, Path(scratch) / "log", 1, Path(scratch) / "out")
                self.assertIn("ended", str(stop.exception))


class Images(unittest.TestCase):
    def test_their_class_can_be_seen(self):
        with tempfile.TemporaryDirectory() as scratch:
            gpu_run.cifar_of_patterns(Path(scratch), 100)
            records = (Path(scratch) / "data_batch_1.bin").read_bytes()
        images = [records[i:i + 3073] for i in range(0, len(records), 3073)]
        self.assertEqual([image[0] for image in images], [i % 10 for i in range(20)])

        def apart(a, b):
            return sum(abs(x - y) for x, y in zip(a[1:], b[1:], strict=True))

        for image in images[10:]:
            nearest = min(images[:10], key=lambda other: apart(image, other))
            self.assertEqual(nearest[0], image[0])


class Table(unittest.TestCase):
    def test_rows(self):
        check = {"model": "m", "check": "c", "difference": 0.5, "bound": 0.25}
        check |= {"least": 0.125, "good": False}
        self.assertEqual(gpu_run.table_row(check), "| m | c | 0.5 | 1.2e-01 to 2.5e-01 MISSED |")

    def test_left_out(self):
        self.assertEqual(gpu_run.table_row({"model": "m", "check": "c", "note": "no GPU"}),
                         "| m | c | not checked: no GPU | |")


class Variations(unittest.TestCase):
    def of(self, device, build):
        return [(flags, left_out) for _, flags, left_out in gpu_run.variations(build, device)]

    def test_by_device_and_module(self):
        with tempfile.TemporaryDirectory() as scratch:
            build = Path(scratch)
            gloo, nccl = ["--dist-backend", "gloo"], ["--dist-backend", "nccl"]
            expected = [(gloo, None), (nccl, "needs a GPU"), (["--cuda-graph"], "needs a GPU")]
            self.assertEqual(self.of("cpu", build), expected)
            without = self.of("cuda", build)
            self.assertEqual([flags[0] for flags, _ in without], ["--dist-backend", "--cuda-graph"])
            for _, left_out in without:
                self.assertIn("libnestvit_cuda.so was not built", left_out)
            (build / "bin").mkdir()
            (build / "bin/libnestvit_cuda.so").touch()
            self.assertEqual(self.of("cuda", build), [(nccl, None), (["--cuda-graph"], None)])

    def test_other_steps_or_losses_show(self):
        self.assertEqual(gpu_run.difference({1: 2.0, 2: 1.0}, {1: 2.0, 2: 1.5}), 0.5)
        with self.assertRaises(AssertionError):
            gpu_run.difference({1: 2.0, 2: 1.0}, {1: 2.0})


if __name__ == "__main__":
    with contextlib.redirect_stdout(io.StringIO()):
        unittest.main()
