package org.sightline.vla.data.text;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.google.gson.JsonArray;
import com.google.gson.JsonElement;
import com.google.gson.JsonObject;
import com.google.gson.JsonParser;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Random;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/**
 * A tokenizer.json with something wrong in it gives a tokenizer that encodes, or an {@link
 * IOException} that names the file: nothing else, and no file ends the process.
 */
class TokenizerMutationTest {
  private static final int MUTATIONS = 10_000;
  private static final String[] VALUES = {
    "null",
    "true",
    "-1",
    "3",
    "768",
    "2147483648",
    "1e999",
    "1e-999",
    "\"\"",
    "\"▁\"",
    "\" \"",
    "\"\\ud800\"",
    "\"a b\"",
    "\"(a+)+$\"",
    "[]",
    "[[]]",
    "[\"<s>\",1]",
    "{}",
    "{\"type\":\"Sequence\"}"
  };

  @TempDir Path folder;
  private final Random random = new Random(1);
  private int loaded;

  @Test
  void changedValues() throws IOException {
    JsonObject small = small();
    for (int i = 0; i < MUTATIONS / 2; i++) {
      JsonObject root = small.deepCopy();
      for (int changes = 1 + random.nextInt(2); changes > 0; changes--) {
        change(root);
      }
      load(root.toString().getBytes(StandardCharsets.UTF_8), "mutation " + i);
    }
    assertTrue(loaded > MUTATIONS / 20, "of the files only " + loaded + " could be loaded");
  }

  @Test
  void changedBytes() throws IOException {
    byte[] small = small().toString().getBytes(StandardCharsets.UTF_8);
    for (int i = 0; i < MUTATIONS / 2; i++) {
      byte[] bytes = small.clone();
      for (int changes = 1 + random.nextInt(3); changes > 0; changes--) {
        bytes[random.nextInt(bytes.length)] = (byte) random.nextInt(256);
      }
      load(bytes, "mutation " + i);
    }
    assertTrue(loaded > 0, "no file could be loaded");
  }

  /** With as few tokens as there can be, so that most changes hit what means something. */
  private static JsonObject small() throws IOException {
    try (var in = HuggingFacePromptTokenizer.class.getResourceAsStream("nano-tokenizer.json")) {
      JsonObject root =
          JsonParser.parseString(new String(in.readAllBytes(), StandardCharsets.UTF_8))
              .getAsJsonObject();
      JsonObject model = root.getAsJsonObject("model");
      model.getAsJsonObject("vocab").asMap().values().removeIf(id -> id.getAsInt() > 260);
      model.getAsJsonObject("vocab").addProperty("▁▁", 261);
      JsonArray merges = new JsonArray();
      merges.add("▁ ▁");
      model.add("merges", merges);
      model.addProperty("ignore_merges", false);
      root.getAsJsonObject("post_processor").remove("pair");
      root.remove("decoder");
      return root;
    }
  }

  /** Replaces or removes one value below, the deeper the likelier. */
  private void change(JsonElement element) {
    List<Object> keys = new ArrayList<>();
    if (element instanceof JsonObject object) {
      // Of a vocabulary one token is as good as another.
      object.keySet().stream().limit(20).forEach(keys::add);
    } else if (element instanceof JsonArray array) {
      for (int i = 0; i < array.size(); i++) {
        keys.add(i);
      }
    }
    if (keys.isEmpty()) {
      return;
    }
    Object key = keys.get(random.nextInt(keys.size()));
    JsonElement child =
        element instanceof JsonObject object
            ? object.get((String) key)
            : element.getAsJsonArray().get((int) key);
    if (!child.isJsonPrimitive() && !child.isJsonNull() && random.nextInt(4) > 0) {
      change(child);
      return;
    }
    JsonElement value = JsonParser.parseString(VALUES[random.nextInt(VALUES.length)]);
    if (element instanceof JsonArray array) {
      array.set((int) key, value);
    } else if (random.nextInt(4) == 0) {
      element.getAsJsonObject().remove((String) key);
    } else {
      element.getAsJsonObject().add((String) key, value);
    }
  }

  private void load(byte[] json, String name) throws IOException {
    Path file = Files.write(folder.resolve("tokenizer.json"), json);
    try (PromptTokenizer tokenizer = HuggingFacePromptTokenizer.open(file)) {
      long[] ids = tokenizer.encode(" put <s>it</s> 🙂\u0000▁▁");
      assertEquals(tokenizer.bosId(), ids[0], name);
      for (long id : ids) {
        assertTrue(id >= 0 && id < tokenizer.vocabularySize(), name);
      }
      loaded++;
    } catch (IOException e) {
      assertTrue(e.getMessage().startsWith(file.toString()), e.getMessage());
    }
  }
}
