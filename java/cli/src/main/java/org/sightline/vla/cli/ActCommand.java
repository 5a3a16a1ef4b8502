package org.sightline.vla.cli;

import com.google.gson.Gson;
import com.google.gson.JsonObject;
import java.io.PrintWriter;
import java.nio.file.Path;
import java.util.Locale;
import java.util.concurrent.Callable;
import org.sightline.vla.checkpoint.PathChecks;
import org.sightline.vla.data.image.ImageCodec;
import org.sightline.vla.data.image.RgbImage;
import org.sightline.vla.data.rlds.Step;
import org.sightline.vla.policy.Action;
import org.sightline.vla.policy.Policy;
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
    PathChecks.isFile("image", image);
    policy.builder().requireThere();
    RgbImage seen = ImageCodec.read(image);
    try (Policy loaded = policy.builder().load()) {
      Ending.check();
      print(loaded.act(seen, instruction));
    }
    return 0;
  }

  private void print(Action action) {
    PrintWriter out = spec.commandLine().getOut();
    if (json) {
      Gson gson = new Gson();
      JsonObject object = new JsonObject();
      object.add("action", gson.toJsonTree(action.values()));
      object.add("normalized_action", gson.toJsonTree(action.normalized()));
      object.add("token_ids", gson.toJsonTree(action.tokens()));
      object.addProperty("no_action_tokens", action.unsaid().size());
      out.println(object);
    } else {
      for (int i = 0; i < action.values().length; i++) {
        out.printf(Locale.ROOT, "%-8s %+.6f%n", Step.ACTION_NAMES.get(i), action.values()[i]);
      }
      if (!action.unsaid().isEmpty()) {
        out.printf(
            Locale.ROOT,
            "%d of %d tokens are no action; at an end of their range: %s%n",
            action.unsaid().size(),
            action.tokens().length,
            String.join(", ", action.unsaid()));
      }
    }
    out.flush();
  }
}
