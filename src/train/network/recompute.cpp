// A torch::autograd::Function around a layer; libtorch has no torch.utils.checkpoint.
#include "train/network/recompute.h"

#include <mutex>
#include <utility>

#include "train/optim/amp.h"

namespace nestvit::train {
namespace {

// Set around the second run of a layer, by the thread that runs it. It reaches batch norm, the only
// module that must know, past every module between; as an argument it would stand in the forward of
// all of them. A network's member would not do: the engine runs backwards in threads of its own.
thread_local bool second_run = false;

torch::Tensor generator_state(const torch::Device& device) {
  at::Generator generator = at::globalContext().defaultGenerator(device);
  const std::lock_guard<std::mutex> lock(generator.mutex());
  return generator.get_state();
}

void set_generator_state(const torch::Device& device, const torch::Tensor& state) {
  at::Generator generator = at::globalContext().defaultGenerator(device);
  const std::lock_guard<std::mutex> lock(generator.mutex());
  generator.set_state(state);
}

// The layer, and the state before its first run, from which the second is its copy.
struct Layer : torch::CustomClassHolder {
  Layer(LayerFunction f, const torch::Device& where)
      : run(std::move(f)),
        device(where),
        generator(generator_state(where)),
        amp(Autocast::current(where.type())) {}
  LayerFunction run;
  torch::Device device;
  torch::Tensor generator;  // state of the device's generator before the run
  Amp amp;
};

// While it lives, autocast and the generator are as they were before the first run.
class SecondRun {
 public:
  explicit SecondRun(const Layer& layer)
      : device_(layer.device),
        autocast_(layer.amp, device_.type()),
        generator_(generator_state(device_)),
        outer_(second_run) {
    set_generator_state(device_, layer.generator);
    second_run = true;
  }
  ~SecondRun() {
    set_generator_state(device_, generator_);
    second_run = outer_;
  }
  SecondRun(const SecondRun&) = delete;
  SecondRun& operator=(const SecondRun&) = delete;

 private:
  torch::AutoGradMode graph_{true};  // the engine runs backwards without
  torch::Device device_;
  Autocast autocast_;
  torch::Tensor generator_;
  bool outer_;
};

class Recomputed : public torch::autograd::Function<Recomputed> {
 public:
  static torch::Tensor forward(torch::autograd::AutogradContext* context, const torch::Tensor& x,
                               const c10::intrusive_ptr<Layer>& layer) {
    context->save_for_backward({x});
    context->saved_data["layer"] = c10::IValue::make_capsule(layer);
    return layer->run(x);  // Function::apply has switched the graph off
  }

  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* context,
                                                 const torch::autograd::variable_list& gradients) {
    const auto held = context->saved_data["layer"].toCapsule();
    const auto& layer = static_cast<const Layer&>(*held);
    const torch::Tensor x = context->get_saved_variables()[0].detach().requires_grad_();
    torch::Tensor y;
    {
      const SecondRun second(layer);
      y = layer.run(x);
    }
    torch::autograd::backward({y}, {gradients[0]});  // parameters get theirs here
    return {x.grad(), torch::Tensor()};
  }
};

}  // namespace

torch::Tensor recomputed(const LayerFunction& layer, const torch::Tensor& x) {
  if (!torch::GradMode::is_enabled() || !x.requires_grad()) return layer(x);
  return Recomputed::apply(x, c10::make_intrusive<Layer>(layer, x.device()));
}

bool recomputing() { return second_run; }

}  // namespace nestvit::train
