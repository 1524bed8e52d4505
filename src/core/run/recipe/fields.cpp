// The recipe's field list: every key with its meaning.
#include "run/recipe/recipe.h"

namespace nestvit {
namespace {

Fields fields(AugmentKeys& a) {
  Fields f;
  f.add("type", &a.type,
        "randaugment, timm's rand-m9-mstd0.5-inc1, noop (normalises only), or empty");
  f.add("size", &a.size, "image side for translations; 0: input_size");
  f.add("randaugment_num_layers", &a.randaugment_num_layers, "operations per image");
  f.add("randaugment_cutout", &a.randaugment_cutout, "cutout after the operations");
  f.add("randaugment_magnitude", &a.randaugment_magnitude, "strength of the operations");
  f.add("randaugment_magstd", &a.randaugment_magstd, "spread of the strength");
  f.add("randaugment_prob_to_apply", &a.randaugment_prob_to_apply,
        "chance of each operation; null: always");
  f.add("randaugment_num_levels", &a.randaugment_num_levels, "strengths are out of this many");
  return f;
}

Fields fields(ColorJitterKeys& c) {
  Fields f;
  f.add("type", &c.type, "colorjitter, noop (normalises only), or empty");
  f.add("colorjitter_strength", &c.strength,
        "strength of brightness, contrast, saturation and hue changes");
  f.add("size", &c.size, "image side; 0: input_size");
  return f;
}

Fields fields(ErasingKeys& e) {
  Fields f;
  f.add("erase_prob", &e.erase_prob, "share of images with a random box erased");
  f.choice("style", &e.style, {{EraseStyle::kReference, "official"}, {EraseStyle::kTimm, "timm"}},
           "official: boxes are cut at the edges; timm: they lie inside");
  f.choice("mode", &e.mode,
           {{EraseMode::kPixel, "pixel"}, {EraseMode::kRand, "rand"}, {EraseMode::kConst, "const"}},
           "what a box is filled with: noise per pixel, one random colour, or the mean");
  f.add("count", &e.count, "most boxes per image; they share the area");
  return f;
}

Fields fields(MixKeys& m) {
  Fields f;
  f.choice("style", &m.style, {{MixStyle::kReference, "official"}, {MixStyle::kTimm, "timm"}},
           "official: a share per image; timm: one per batch from Beta(alpha, alpha)");
  f.add("mixup_alpha", &m.mixup_alpha, "mixup's parameter; null: no mixup");
  f.add("cutmix_alpha", &m.cutmix_alpha,
        "cutmix's parameter; null: 1 when mixup_alpha is set (official)");
  f.add("prob_to_apply", &m.prob_to_apply, "share of batches that are mixed");
  f.add("switch_prob", &m.switch_prob, "share of cutmix where both are on");
  f.add("smoothing", &m.smoothing, "label smoothing: share of the label spread over all classes");
  return f;
}

Fields fields(DataKeys& d) {
  Fields f;
  f.add("dir", &d.dir, "the data set's folder or file");
  f.add("train_split", &d.train_split, "name of the split to train on");
  f.add("val_split", &d.val_split, "name of the split to evaluate on");
  f.choice("class_order", &d.class_order,
           {{ClassOrder::kNatural, "natural"}, {ClassOrder::kPlain, "plain"}},
           "natural: class2 before class10; plain: byte order, as torchvision");
  f.add("class_map", &d.class_map, "file with one class name per line, line number = index");
  f.add("labels", &d.labels,
        "file with the labels of validation images that have no class folders");
  f.add("val_share", &d.val_share,
        "share of each class kept for evaluation when a folder has no val/");
  f.choice("on_bad_image", &d.on_bad_image,
           {{OnBadImage::kError, "error"}, {OnBadImage::kSkip, "skip"}},
           "stop at an image that cannot be read, or leave it out");
  f.choice("sampler", &d.sampler,
           {{Sampler::kShuffle, "shuffle"}, {Sampler::kBalanced, "balanced"}},
           "shuffle: every image once per epoch; balanced: every class as often");
  f.add("jpeg_scaled", &d.jpeg_scaled,
        "decode large crops of JPEGs at a half, quarter or eighth of their size: faster, other "
        "pixels by a little");
  f.add(
      "shuffle_window", &d.shuffle_window,
      "TFDS and WebDataset: shards in random order, shuffled in windows of so many images, so that "
      "they are read one after the other; 0: the whole epoch is shuffled");
  f.add(
      "jpeg_round_trip", &d.jpeg_round_trip,
      "CIFAR at another size than 32: training images pass through JPEG, as in the official code");
  return f;
}

// Side and channels follow input_size and in_channels, so they are no keys of their own.
Fields preprocessing_fields(Preprocessing& preprocessing) {
  Fields f;
  const Fields all = nestvit::fields(preprocessing);
  for (const Field& field : all.list())
    if (field.key != "image_size" && field.key != "channels")
      f.add(field.key, field.value, field.help);
  return f;
}

void add_optimisation(Fields& f, Recipe& r) {
  f.add("learning_rate", &r.learning_rate, "peak, for a batch of 256; scaled by batch / 256");
  f.add("min_learning_rate", &r.min_learning_rate, "floor after warm-up, scaled likewise");
  f.add("warmup_learning_rate", &r.warmup_learning_rate, "where warm-up begins, scaled likewise");
  f.choice("learning_rate_schedule", &r.learning_rate_schedule,
           {{ScheduleKind::kCosine, "cosine"},
            {ScheduleKind::kLinear, "linear"},
            {ScheduleKind::kConstant, "constant"}},
           "how the learning rate falls after warm-up");
  f.add("warmup_epochs", &r.warmup_epochs, "epochs of linear growth from warmup_learning_rate");
  f.add("num_epochs", &r.num_epochs, "passes over the training images");
  f.add("num_train_steps", &r.num_train_steps, "steps in all; -1: from num_epochs");
  f.choice("optim", &r.optim,
           {{Optim::kAdamW, "adamw"}, {Optim::kAdam, "adam"}, {Optim::kSgd, "sgd"}}, "optimiser");
  f.add("optim_wd_ignore", &r.optim_wd_ignore,
        "parameters whose name contains one of these are not decayed");
  f.add("weight_decay", &r.weight_decay,
        "decoupled, times the learning rate (adamw); L2 term of the loss (adam, sgd)");
  f.add("weight_decay_exclude_1d", &r.weight_decay_exclude_1d,
        "biases and norms are not decayed, as in timm");
  f.add("opt_eps", &r.opt_eps, "epsilon of adamw and adam");
  f.add("opt_betas", &r.opt_betas, "the two betas of adamw and adam");
  f.add("sgd_momentum", &r.sgd_momentum, "Nesterov momentum of sgd");
  f.add("grad_clip_max_norm", &r.grad_clip_max_norm,
        "clip the global gradient norm to this; 0: off");
  f.add("grad_accum_steps", &r.grad_accum_steps,
        "batches of each device whose gradients make one step");
  f.choice("amp", &r.amp,
           {{Amp::kNone, "none"}, {Amp::kBf16, "bf16"}, {Amp::kFp16, "fp16"}, {Amp::kTf32, "tf32"}},
           "type that products and convolutions compute in; fp16 scales the loss; tf32 is a GPU's");
  f.add("grad_checkpointing", &r.grad_checkpointing,
        "encoder layers keep only their input and are computed again in the backward");
  f.add("model_ema", &r.model_ema,
        "evaluate and keep a running average of the weights instead of themselves");
  f.add("model_ema_decay", &r.model_ema_decay, "what the average keeps of itself per step");
  f.add("model_ema_warmup", &r.model_ema_warmup,
        "begin with a smaller decay, 1 - (1 + t)^(-2/3) at step t + 1");
}

void add_cadence(Fields& f, Recipe& r) {
  f.add("log_loss_every_steps", &r.log_loss_every_steps,
        "steps between training lines in log.jsonl");
  f.add("num_eval_steps", &r.num_eval_steps, "batches per evaluation; -1: all images, each once");
  f.add("eval_every_steps", &r.eval_every_steps,
        "steps between evaluations; -1: by eval_per_epochs");
  f.add("eval_per_epochs", &r.eval_per_epochs,
        "epochs between evaluations, 0.5 = twice per epoch; 0: by eval_every_steps");
  f.add("patience", &r.patience,
        "evaluations without a better top-1 after which the run ends; 0: never");
  f.add("min_delta", &r.min_delta, "what counts as better for patience, in per cent");
  f.add("eval_pad_last_batch", &r.eval_pad_last_batch,
        "read for compatibility: every image always counts once");
  f.add("checkpoint_every_steps", &r.checkpoint_every_steps,
        "steps between checkpoints beside those at evaluations; -1: none");
  f.add("checkpoint_hist", &r.checkpoint_hist,
        "how many of the newest checkpoints stay, beside the best");
  f.add("shuffle_buffer_size", &r.shuffle_buffer_size,
        "read for compatibility: every epoch is fully shuffled");
  f.add("seed", &r.seed, "seed of weights, order, transforms and drop-path");
  f.add("trial", &r.trial, "a number to tell runs apart; changes nothing");
}

void add_finetuning(Fields& f, Recipe& r) {
  f.add("eval_only", &r.eval_only, "evaluate init_checkpoint once, train nothing");
  f.add("init_checkpoint", &r.init_checkpoint, "weights to start from, of any known form");
  f.add("reinit_head", &r.reinit_head,
        "zero_all or random: a new head; null: only when the number of classes changes, zeros");
  f.add("resize_posembed", &r.resize_posembed,
        "new over old image size, checked against the sizes; 1: not checked");
  f.choice("posembed_resize", &r.posembed_resize,
           {{PosEmbedResize::kAuto, "auto"},
            {PosEmbedResize::kBlock, "block"},
            {PosEmbedResize::kImage, "image"}},
           "how position embeddings are resized: block as the official code, image as timm means "
           "to, auto: block where the number of blocks stays");
  f.add("freeze", &r.freeze,
        "parameters that stay as they are, by the beginning of their names, or backbone: all but "
        "the head");
  f.add("layer_decay", &r.layer_decay,
        "learning rate of each layer over that of the next; 1: the same");
}

}  // namespace

Fields fields(Recipe& r) {
  Fields f;
  f.add("model_name", &r.model_name,
        "a variant of NesT, or resnet18, resnet50, resnet18_cifar (nestvit inspect NAME)");
  f.add("dataset", &r.dataset,
        "form of the data: " + dataset_names_text() + "; empty: recognised from the files");
  f.add("per_device_batch_size", &r.per_device_batch_size, "images per batch");
  f.add("num_devices", &r.num_devices,
        "devices that the run is meant for: a step has a batch of each, whatever processes compute "
        "them; begun by several processes: as many");
  f.add("sync_bn", &r.sync_bn,
        "batch norm takes its statistics over the batches of all processes, not of each");
  f.add("eval_batch_size", &r.eval_batch_size,
        "images per evaluation batch; 0: per_device_batch_size");
  f.add("input_size", &r.input_size, "side of the input in pixels; 0: the model's own");
  f.add("in_channels", &r.in_channels, "channels of the input, 1 or 3; 0: the model's own");
  f.add("num_classes", &r.num_classes, "classes of the model; 0: the data's");
  add_optimisation(f, r);
  add_cadence(f, r);
  f.choice("train_transform", &r.train_transform,
           {{TransformChoice::kAuto, "auto"},
            {TransformChoice::kCrop, "crop"},
            {TransformChoice::kRrc, "rrc"},
            {TransformChoice::kPad, "pad"},
            {TransformChoice::kFlip, "flip"},
            {TransformChoice::kNone, "none"}},
           "crop: random box, flip; rrc: timm's, by Pillow; pad: shift by up to 2 pixels, flip; "
           "flip; none; auto: by data "
           "and size");
  add_finetuning(f, r);
  f.add("log_model_profile", &r.log_model_profile, "measure the model before training");
  f.add("augment", fields(r.augment));
  f.add("randerasing", fields(r.randerasing));
  f.add("colorjitter", fields(r.colorjitter));
  f.add("mix", fields(r.mix));
  f.add("data", fields(r.data));
  f.add("preprocessing", preprocessing_fields(r.preprocessing));
  f.add("nest", nestvit::fields(r.nest));
  return f;
}

}  // namespace nestvit
