// The recipe's field list: every key with its meaning. The help of flags, --help-keys and
// docs/recipe-keys.md come from here.
#include "run/recipe/recipe.h"

namespace nestvit {
namespace {

Fields fields(AugmentKeys& a) {
  Fields f;
  f.add("type", &a.type,
        "augmentation policy: randaugment (the paper's), timm's string as rand-m9-mstd0.5-inc1, or "
        "noop, default and empty for none; any word switches normalisation on");
  f.add("size", &a.size, "image side that the range of translations follows; 0: input_size");
  f.add("randaugment_num_layers", &a.randaugment_num_layers,
        "operations per image, one after the other");
  f.add("randaugment_cutout", &a.randaugment_cutout, "cutout after the operations");
  f.add("randaugment_magnitude", &a.randaugment_magnitude,
        "mean strength of the operations, out of randaugment_num_levels; null: drawn evenly");
  f.add("randaugment_magstd", &a.randaugment_magstd,
        "spread of the strength; needed for magnitudes above 1");
  f.add("randaugment_prob_to_apply", &a.randaugment_prob_to_apply,
        "probability of each operation; null: always");
  f.add("randaugment_num_levels", &a.randaugment_num_levels, "the magnitude of full strength");
  return f;
}

Fields fields(ColorJitterKeys& c) {
  Fields f;
  f.add("type", &c.type,
        "colorjitter, or noop, default and empty for none; any word switches normalisation on");
  f.add("colorjitter_strength", &c.strength,
        "strength of the changes of brightness, contrast, saturation and hue");
  f.add("size", &c.size, "read for compatibility: images keep their size");
  return f;
}

Fields fields(ErasingKeys& e) {
  Fields f;
  f.add("erase_prob", &e.erase_prob,
        "probability that boxes of 2 to 33 % of an image are erased; null: none are; any number "
        "switches normalisation on");
  f.choice("style", &e.style, {{EraseStyle::kReference, "official"}, {EraseStyle::kTimm, "timm"}},
           "official: a box is cut at the image's edges; timm: boxes lie inside, and mode and "
           "count may be changed");
  f.choice("mode", &e.mode,
           {{EraseMode::kPixel, "pixel"}, {EraseMode::kRand, "rand"}, {EraseMode::kConst, "const"}},
           "what fills a box: pixel (noise), rand (one random colour), const (the mean)");
  f.add("count", &e.count, "most boxes per image; they share the area");
  return f;
}

Fields fields(MixKeys& m) {
  Fields f;
  f.choice("style", &m.style, {{MixStyle::kReference, "official"}, {MixStyle::kTimm, "timm"}},
           "official: one share per image, u^(1/alpha) / 2; timm: one per batch, drawn from "
           "Beta(alpha, alpha), cutmix labels by the true area, labels always smoothed");
  f.add("mixup_alpha", &m.mixup_alpha, "shape of mixup's share; null or 0: no mixup");
  f.add("cutmix_alpha", &m.cutmix_alpha,
        "shape of cutmix's share; 0: no cutmix; null: as 1 where mixup_alpha is set and the style "
        "is official, as in the official code, else as 0");
  f.add("prob_to_apply", &m.prob_to_apply, "probability that a batch is mixed");
  f.add("switch_prob", &m.switch_prob, "probability of cutmix where both are on");
  f.add("smoothing", &m.smoothing,
        "label smoothing: the share of each label that is spread over all classes");
  return f;
}

Fields fields(DataKeys& d) {
  Fields f;
  f.add("dir", &d.dir, "the data set's folder or file");
  f.add("train_split", &d.train_split, "the split to train on");
  f.add("val_split", &d.val_split, "the split to evaluate on");
  f.choice("class_order", &d.class_order,
           {{ClassOrder::kNatural, "natural"}, {ClassOrder::kPlain, "plain"}},
           "order of classes that folders name: natural puts class2 before class10, plain sorts "
           "by bytes as torchvision");
  f.add("class_map", &d.class_map,
        "file with one class name per line; the line number, from 0, is the class's index");
  f.add("labels", &d.labels,
        "file with the labels of validation images that have no class folders; \"nestvit eval "
        "--help\" lists the forms");
  f.add("val_share", &d.val_share,
        "share of each class that is kept for evaluation when a folder has no val/");
  f.choice("on_bad_image", &d.on_bad_image,
           {{OnBadImage::kError, "error"}, {OnBadImage::kSkip, "skip"}},
           "what an unreadable image does: end the run with an error that names it, or be left "
           "out and listed in log.jsonl");
  f.choice("sampler", &d.sampler,
           {{Sampler::kShuffle, "shuffle"}, {Sampler::kBalanced, "balanced"}},
           "shuffle: every image once per epoch; balanced: every class equally often");
  f.add("jpeg_scaled", &d.jpeg_scaled,
        "decode crops of JPEGs that are at least twice the input's size at 1/2, 1/4 or 1/8 of "
        "their size, by libjpeg-turbo's scaled DCT: faster, with slightly different pixels");
  f.add("shuffle_window", &d.shuffle_window,
        "TFDS and WebDataset: take the shards in random order and shuffle in windows of this many "
        "images, so that shards are read one after the other; 0: shuffle the whole epoch");
  f.add("jpeg_round_trip", &d.jpeg_round_trip,
        "CIFAR at another size than 32: random crops are cut from an enlarged image that went "
        "through JPEG (quality 95, 4:2:0), as in the official code");
  return f;
}

// Side and channels follow input_size and in_channels, so they are not keys of their own. A recipe
// may leave the others open.
Fields preprocessing_fields(Preprocessing& preprocessing) {
  Fields f;
  const Fields all = nestvit::fields(preprocessing);
  for (const Field& field : all.list()) {
    if (field.key == "image_size" || field.key == "channels") continue;
    std::string help = field.help;
    if (field.key == "crop_pct") help += "; 0: 1 for IDX and for CIFAR at 32, else 0.875";
    if (field.key == "mean") help += ", or one number for all; empty: by the data set, or none";
    if (field.key == "std") help += ", or one number for all; empty: likewise";
    f.add(field.key, field.value, help);
  }
  return f;
}

void add_optimisation(Fields& f, Recipe& r) {
  f.add("learning_rate", &r.learning_rate,
        "peak learning rate for 256 images per step; scaled by the images of a step / 256");
  f.add("min_learning_rate", &r.min_learning_rate,
        "floor of the learning rate after warm-up, scaled likewise");
  f.add("warmup_learning_rate", &r.warmup_learning_rate,
        "learning rate at the start of warm-up, scaled likewise");
  f.choice("learning_rate_schedule", &r.learning_rate_schedule,
           {{ScheduleKind::kCosine, "cosine"},
            {ScheduleKind::kLinear, "linear"},
            {ScheduleKind::kConstant, "constant"}},
           "how the learning rate falls after warm-up");
  f.add("warmup_epochs", &r.warmup_epochs,
        "epochs in which the learning rate grows linearly; below num_epochs. If only num_epochs "
        "is set, warm-up is capped at a fifth of it");
  f.add("num_epochs", &r.num_epochs, "passes over the training images");
  f.add("num_train_steps", &r.num_train_steps,
        "optimiser steps in all; -1: images x num_epochs / images of a step, rounded down");
  f.choice("optim", &r.optim,
           {{Optim::kAdamW, "adamw"}, {Optim::kAdam, "adam"}, {Optim::kSgd, "sgd"}},
           "the optimiser");
  f.add("optim_wd_ignore", &r.optim_wd_ignore,
        "parameters whose name, ours or Flax's, contains one of these are not decayed; biases and "
        "norms are, as in the official code");
  f.add("weight_decay", &r.weight_decay,
        "weight decay: decoupled, times the learning rate (adamw), or an L2 term of the loss "
        "(adam, sgd)");
  f.add("weight_decay_exclude_1d", &r.weight_decay_exclude_1d,
        "biases and norms are not decayed, as in timm");
  f.add("opt_eps", &r.opt_eps, "epsilon of adamw and adam");
  f.add("opt_betas", &r.opt_betas, "the two betas of adamw and adam");
  f.add("sgd_momentum", &r.sgd_momentum, "Nesterov momentum of sgd");
  f.add("grad_clip_max_norm", &r.grad_clip_max_norm,
        "clip the global gradient norm to this; 0: off");
  f.add("grad_accum_steps", &r.grad_accum_steps,
        "batches of each device whose gradients make one step; the learning rate is scaled by all "
        "their images");
  f.choice("amp", &r.amp,
           {{Amp::kNone, "none"}, {Amp::kBf16, "bf16"}, {Amp::kFp16, "fp16"}, {Amp::kTf32, "tf32"}},
           "type of products and convolutions; weights and optimiser stay f32; fp16 scales the "
           "loss; tf32 needs a GPU");
  f.add("grad_checkpointing", &r.grad_checkpointing,
        "keep only the inputs of encoder layers and compute the layers again in the backward: "
        "less memory, a third more time");
  f.add("model_ema", &r.model_ema,
        "evaluate and keep a running average of the weights instead of the weights");
  f.add("model_ema_decay", &r.model_ema_decay, "share of itself that the average keeps per step");
  f.add("model_ema_warmup", &r.model_ema_warmup,
        "begin with a smaller decay, as timm: min(model_ema_decay, 1 - t^(-2/3)) at step t");
}

void add_cadence(Fields& f, Recipe& r) {
  f.add("log_loss_every_steps", &r.log_loss_every_steps,
        "steps between training lines in log.jsonl");
  f.add("num_eval_steps", &r.num_eval_steps, "batches per evaluation; -1: every image once");
  f.add("eval_every_steps", &r.eval_every_steps,
        "steps between evaluations, where eval_per_epochs is 0; -1: an epoch's");
  f.add("eval_per_epochs", &r.eval_per_epochs,
        "epochs between evaluations (the official name), 0.5: twice per epoch; 0: by "
        "eval_every_steps");
  f.add("patience", &r.patience,
        "end the run after this many evaluations without a better top-1; 0: never");
  f.add("min_delta", &r.min_delta, "what counts as better for patience, in per cent");
  f.add("eval_pad_last_batch", &r.eval_pad_last_batch,
        "read for compatibility: the last batch is short, every image counts once");
  f.add("checkpoint_every_steps", &r.checkpoint_every_steps,
        "steps between checkpoints, beside those at evaluations; -1: none");
  f.add("checkpoint_hist", &r.checkpoint_hist,
        "how many of the newest checkpoints stay, beside the best");
  f.add("shuffle_buffer_size", &r.shuffle_buffer_size,
        "read for compatibility: data.shuffle_window sets how images are shuffled");
  f.add("seed", &r.seed,
        "seed of the weights, the split, the order of the data, transforms and drop-path");
  f.add("trial", &r.trial, "a number to tell runs apart; changes nothing");
}

void add_finetuning(Fields& f, Recipe& r) {
  f.add("eval_only", &r.eval_only, "evaluate init_checkpoint once, train nothing");
  f.add("init_checkpoint", &r.init_checkpoint,
        "weights to start from: a model directory, a .safetensors or .pth file, an official "
        "checkpoint folder, hf://OWNER/NAME. The model, its GELU, pooling and preprocessing are "
        "then theirs; position embeddings are resized and the head is replaced as the data needs; "
        "a resumed run does not read it");
  f.add("reinit_head", &r.reinit_head,
        "zero_all or random: a new head; null: rows of zeros for the classes that the weights do "
        "not know by name");
  f.add("resize_posembed", &r.resize_posembed,
        "new over old image size, checked against the sizes; 1: not checked");
  f.choice("posembed_resize", &r.posembed_resize,
           {{PosEmbedResize::kAuto, "auto"},
            {PosEmbedResize::kBlock, "block"},
            {PosEmbedResize::kImage, "image"}},
           "how position embeddings are resized: block (each block by itself, bilinear with "
           "aligned corners, as the official code), image (the whole plane, bicubic, as timm "
           "intends), auto (block where the number of blocks stays)");
  f.add("freeze", &r.freeze,
        "parameters that stay unchanged, by the beginnings of their names, as patch_embed and "
        "levels.0; backbone: all but the head");
  f.add("layer_decay", &r.layer_decay,
        "learning rate of each layer over that of the next, as in timm; 0.75 is common, 1: off");
}

}  // namespace

Fields fields(Recipe& r) {
  Fields f;
  f.add("model_name", &r.model_name,
        "a variant of NesT, or a baseline: resnet18, resnet50, resnet18_cifar; \"nestvit inspect "
        "NAME\" describes it");
  f.add("dataset", &r.dataset,
        "form of the data: " + dataset_names_text() + "; empty: recognised from the files");
  f.add("per_device_batch_size", &r.per_device_batch_size, "images per batch");
  f.add("num_devices", &r.num_devices,
        "devices that the run is meant for: a step has a batch of each, whatever processes "
        "compute them; a run that N processes start has N");
  f.add("sync_bn", &r.sync_bn,
        "batch norm takes its statistics over the batches that all processes compute side by "
        "side, instead of each batch by itself");
  f.add("eval_batch_size", &r.eval_batch_size,
        "images per evaluation batch; 0: per_device_batch_size");
  f.add("input_size", &r.input_size, "side of the square input in pixels; 0: the model's own");
  f.add("in_channels", &r.in_channels,
        "channels of the input, 1 grey or 3 RGB; 0: the model's own");
  f.add("num_classes", &r.num_classes, "classes of the model, at least the data's; 0: the data's");
  add_optimisation(f, r);
  add_cadence(f, r);
  f.choice("train_transform", &r.train_transform,
           {{TransformChoice::kAuto, "auto"},
            {TransformChoice::kCrop, "crop"},
            {TransformChoice::kRrc, "rrc"},
            {TransformChoice::kPad, "pad"},
            {TransformChoice::kFlip, "flip"},
            {TransformChoice::kNone, "none"}},
           "crop: random box of 5 to 100 % of the area, flip; rrc: timm's, of 8 to 100 %, by "
           "Pillow, flip; pad: shift by up to 2 pixels, flip; flip; none. auto: pad for CIFAR at "
           "32, flip for Fashion-MNIST, none for other IDX files, else rrc where "
           "preprocessing.resampler is pil and crop where it is tf");
  add_finetuning(f, r);
  f.add("log_model_profile", &r.log_model_profile,
        "1: print parameters and multiply-accumulates of each level and the forward's throughput "
        "before training; 2: and end there");
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
