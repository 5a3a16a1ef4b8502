package org.sightline.vla.cli;

import com.google.gson.Gson;
import com.google.gson.JsonObject;
import java.io.PrintWriter;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Locale;
import java.util.concurrent.Callable;
import org.bytedeco.javacpp.PointerScope;
import org.bytedeco.pytorch.Tensor;
import org.sightline.formats.file.GitLfs;
import org.sightline.formats.file.InputFile;
import org.sightline.vla.data.image.ImageCodec;
import org.sightline.vla.data.image.ImageTransform;
import org.sightline.vla.data.rlds.Step;
import org.sightline.vla.data.text.ActionTokenizer;
import org.sightline.vla.data.text.Prompt;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.Spec;

/** {@code sightline act}: the action a policy takes, given an image and an instruction. */
@Command(
    name = "act",
    description = {
      "Predict the action for a camera image and an instruction.",
      "Prints it in the units of the training data: metres, radians, gripper.",
      "Tokens that stand for no action are counted; where all are such there is no action."
    },
    mixinStandardHelpOptions = true,
    showDefaultValues = true,
    sortOptions = false,
    usageHelpAutoWidth = true)
final class ActCommand implements Callable<Integer> {
  @Spec private CommandSpec spec;

  @Option(names = "--image", paramLabel = "FILE", required = true, description = "JPEG or PNG.")
  private Path image;

  @Option(
      names = "--instruction",
      paramLabel = "TEXT",
      required = true,
      description = "What the robot is to do, such as \"put the spoon on the towel\".")
  private String instruction;

  @Mixin private PolicyOptions policy;

  @Option(names = "--json", description = "Print a JSON object, with token ids.")
  private boolean json;

  @Override
  public Integer call() throws Exception {
    OptionChecks.isFile("--image", image);
    if (instruction.isBlank()) {
      throw new IllegalArgumentException("--instruction must say what to do, found nothing");
    }
    GitLfs.requireContent(image);
    byte[] encoded = InputFile.bytes(image);
    try (LoadedPolicy loaded = policy.open()) {
      long[] ids = ids(loaded, encoded);
      List<String> unsaid = unsaid(loaded.actions(), ids);
      float[] normalised = loaded.actions().decode(ids);
      print(ids, unsaid, normalised, loaded.statistics().denormalize(normalised));
    }
    return 0;
  }

  /**
   * The dimensions for which the model said no action: they decode to an end of their range.
   *
   * @throws IllegalArgumentException if these are all
   */
  static List<String> unsaid(ActionTokenizer actions, long[] ids) {
    List<String> unsaid = new ArrayList<>();
    for (int i = 0; i < ids.length; i++) {
      if (!actions.isAction(ids[i])) {
        unsaid.add(Step.ACTION_NAMES.get(i));
      }
    }
    if (unsaid.size() == ids.length) {
      throw new IllegalArgumentException(
          "the model answered without an action: found the tokens %s, expected ids from %d to %d;"
                  .formatted(Arrays.toString(ids), actions.firstId(), actions.lastId())
              + " was it trained on such prompts, and is the adapter its own?");
    }
    return unsaid;
  }

  private long[] ids(LoadedPolicy loaded, byte[] encoded) throws Exception {
    ImageTransform images = loaded.images();
    float[] pixels = new float[images.length()];
    try {
      images.apply(ImageCodec.decode(encoded), pixels, 0);
    } catch (java.io.IOException e) {
      throw new java.io.IOException("--image " + image + ": " + e.getMessage(), e);
    }
    long[] prompt = Prompt.ids(loaded.tokenizer(), instruction);
    try (PointerScope scope = new PointerScope()) {
      Tensor values =
          Tensor.create(pixels, 1, ImageTransform.CHANNELS, images.size(), images.size());
      Tensor ids = Tensor.create(prompt, 1, prompt.length);
      Ending.check();
      return loaded.model().generate(values, ids, Step.ACTION_SIZE)[0];
    }
  }

  private void print(long[] ids, List<String> unsaid, float[] normalised, float[] action) {
    PrintWriter out = spec.commandLine().getOut();
    if (json) {
      Gson gson = new Gson();
      JsonObject object = new JsonObject();
      object.add("action", gson.toJsonTree(action));
      object.add("normalized_action", gson.toJsonTree(normalised));
      object.add("token_ids", gson.toJsonTree(ids));
      object.addProperty("no_action_tokens", unsaid.size());
      out.println(object);
    } else {
      for (int i = 0; i < action.length; i++) {
        out.printf(Locale.ROOT, "%-8s %+.6f%n", Step.ACTION_NAMES.get(i), action[i]);
      }
      if (!unsaid.isEmpty()) {
        out.printf(
            Locale.ROOT,
            "%d of %d tokens are no action; at an end of their range: %s%n",
            unsaid.size(),
            ids.length,
            String.join(", ", unsaid));
      }
    }
    out.flush();
  }
}
