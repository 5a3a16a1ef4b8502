package org.sightline.vla.cli;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.google.gson.JsonObject;
import com.google.gson.JsonParser;
import java.io.IOException;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.sightline.study.task.DrawnPictures;
import org.sightline.study.task.Task;
import org.sightline.vla.data.image.RgbImage;
import org.sightline.vla.policy.Action;
import org.sightline.vla.policy.Policy;
import org.sightline.vla.policy.rest.PolicyServer;
import org.sightline.vla.tabletop.TabletopEnvironment;
import org.sightline.vla.tabletop.TabletopGenerator;

/**
 * {@code study rollout} and {@code study report}, of a policy here and of one behind an address.
 */
class StudyCommandsTest {
  @TempDir private static Path folder;

  private static Path adapter;

  @BeforeAll
  static void finetune() throws IOException {
    Path data = folder.resolve("data");
    TabletopGenerator.generate(data, new TabletopGenerator.Options(3, 1, 64, 3));
    Path output = folder.resolve("run");
    Cli cli =
        Cli.succeed(
            ("finetune --data %s --output %s --modes default --steps 2 --evaluations 1"
                    + " --eval-fraction 0.4 --seed 3 --no-augment")
                .formatted(data, output));
    assertTrue(
        (cli.out() + cli.err())
            .matches(
                "(?s).*Always saying the training data's most frequent tokens has token accuracy"
                    + " 0\\.\\d{3}\\..*"),
        cli.out() + cli.err());
    adapter = output.resolve("default");
  }

  private static Path rollout(String name, String options) {
    Path output = folder.resolve(name);
    Cli.succeed(
        "study rollout --tasks carrot,weather --scenes 2 --steps 2 --filmed 1 --output %s %s"
            .formatted(output, options));
    return output;
  }

  @Test
  void rolloutsAreCountedFilmedAndCompared() throws IOException {
    Path first = rollout("first", "--adapter " + adapter);
    Path again = rollout("again", "--batch-size 1 --adapter " + adapter);
    JsonObject json =
        JsonParser.parseString(Files.readString(first.resolve("rollout.json"))).getAsJsonObject();
    assertEquals(2, json.getAsJsonArray("tasks").size());
    JsonObject carrot = json.getAsJsonArray("tasks").get(0).getAsJsonObject();
    assertEquals("carrot", carrot.get("task").getAsString());
    assertEquals(2, carrot.getAsJsonArray("episodes").size());
    assertTrue(Files.size(first.resolve("weather.png")) > 1000);
    Path report = folder.resolve("report");
    Cli cli =
        Cli.succeed(
            "study report --arm default=%s --arm align=%s --sheets weather --output %s"
                .formatted(first, again, report));
    assertTrue(cli.out().contains("align over default, out of distribution: +0.000"), cli.out());
    String html = Files.readString(report.resolve("report.html"));
    assertTrue(html.contains("data:image/png;base64,"));
    assertTrue(Files.exists(report.resolve("report.json")));
    for (String repeated :
        List.of(
            "study rollout --tasks carrot --output " + first + " --adapter " + adapter,
            "study report --arm a=" + first + " --output " + report)) {
      Cli refused = Cli.run(repeated);
      assertEquals(2, refused.exitCode());
      assertTrue(refused.err().contains("--output must be a folder without r"), refused.err());
    }
  }

  /** Several at once act as each would alone, and as at a distance. */
  @Test
  void theBatchedPolicyIsTheSingleOne() throws IOException {
    try (Policy policy = Policy.load(adapter)) {
      List<RgbImage> images = new ArrayList<>();
      List<String> instructions = new ArrayList<>();
      for (Task task : Task.values()) {
        var scene = task.scene(1, new DrawnPictures());
        images.add(new TabletopEnvironment(scene).render(84));
        instructions.add(scene.instruction());
      }
      long[] seeds = new long[images.size()];
      List<Action> together = policy.act(images, instructions, 0, seeds);
      for (int i = 0; i < images.size(); i++) {
        Action alone =
            policy.act(List.of(images.get(i)), List.of(instructions.get(i)), 0, new long[1]).get(0);
        assertArrayEquals(alone.tokens(), together.get(i).tokens());
        assertTrue(together.get(i).unsaid().isEmpty(), "action ids alone compete");
      }
    }
  }

  @Test
  void aPolicyBehindAnAddressIsRolledOut() throws IOException {
    InetSocketAddress any = new InetSocketAddress(InetAddress.getLoopbackAddress(), 0);
    List<String> asked = new ArrayList<>();
    try (PolicyServer server =
        new PolicyServer(
            (image, text) -> {
              asked.add(image.width() + " " + text);
              return new float[] {0, 0, 0, 0, 0, 0, 1};
            },
            any)) {
      rollout("remote", "--server http://127.0.0.1:" + server.address().getPort());
    }
    assertEquals(2 * 2 * 2, asked.size());
    assertTrue(asked.get(0).startsWith("224 put "), asked.get(0));
  }

  @Test
  void wrongUseIsExplained() {
    for (String[] use :
        new String[][] {
          {"study", "Missing command of study."},
          {"study rollout --tasks shapes", "--tasks must be of all, ood,"},
          {"study rollout --scenes 0", "--scenes must be at least 1, found 0"},
          {"study rollout --server ftp://x --tasks carrot", "must be an http address, found ftp"},
          {
            "study rollout --server http://127.0.0.1:1 --temperature 1",
            "--temperature must be 0 with --server"
          },
          {"study report --arm a --output " + folder, "--arm must be a new NAME=DIR,DIR"},
          {"study report --arm a=/nowhere --output " + folder, "/nowhere"},
          {"serve --port 70000", "--port must be in 0..65535, found 70000"},
        }) {
      Cli cli = Cli.run(use[0]);
      assertEquals(2, cli.exitCode(), use[0] + "\n" + cli.err());
      assertTrue(cli.err().contains(use[1]), cli.err());
    }
  }
}
