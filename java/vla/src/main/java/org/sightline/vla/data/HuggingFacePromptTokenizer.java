package org.sightline.vla.data;

import ai.djl.engine.EngineException;
import ai.djl.huggingface.tokenizers.HuggingFaceTokenizer;
import ai.djl.util.Utils;
import com.google.gson.JsonObject;
import java.io.ByteArrayInputStream;
import java.io.IOException;
import java.io.InputStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.MessageDigest;
import java.util.HashMap;
import java.util.Map;
import java.util.OptionalLong;
import java.util.stream.Stream;
import org.sightline.binding.NativeCache;
import org.sightline.formats.AtomicFile;
import org.sightline.formats.FormatException;
import org.sightline.formats.GitLfs;
import org.sightline.formats.JsonFields;
import org.sightline.formats.Sha256;

/**
 * A Hugging Face {@code tokenizer.json}, run by the original Rust library through DJL's binding.
 *
 * <p>{@link #open} reads any file; {@link #embedded} the small one in this jar, which has the
 * structure of Llama 2's (byte-pair merges with byte fallback, so any text can be encoded) and ids
 * below 768, for the nano preset.
 *
 * <p>The binding's usage ping is switched off, and it is kept from downloading anything. It unpacks
 * its library beside Sightline's, or where the property {@code DJL_CACHE_DIR} says.
 */
public final class HuggingFacePromptTokenizer implements PromptTokenizer {
  private static final String EMBEDDED = "nano-tokenizer.json";
  private static final String BOS = "<s>";
  private static final String EOS = "</s>";

  static {
    // Read by the binding when its first class loads.
    setDefault("ai.djl.offline", "true");
    setDefault("OPT_OUT_TRACKING", "true");
    setDefault("RUST_FLAVOR", "cpu");
  }

  private final String source;
  private final byte[] json;
  private final String pad; // or null
  private final long vocabularySize;
  private final long bosId;
  private final long eosId;
  private final long padId;
  private final OptionalLong wordStartId;
  private HuggingFaceTokenizer tokenizer;

  private HuggingFacePromptTokenizer(String source, byte[] json) throws IOException {
    this.source = source;
    this.json = json;
    Map<String, Long> vocabulary = vocabulary(source, json);
    long largest = vocabulary.values().stream().mapToLong(Long::longValue).max().orElse(-1);
    bosId = require(vocabulary, BOS, "BOS");
    eosId = require(vocabulary, EOS, "EOS");
    // OpenVLA adds <PAD> right behind Llama's vocabulary; files from before that have none.
    pad = Stream.of("<PAD>", "<pad>").filter(vocabulary::containsKey).findFirst().orElse(null);
    padId = pad == null ? largest + 1 : vocabulary.get(pad);
    vocabularySize = Math.max(largest, padId) + 1;
    Long wordStart = vocabulary.get("\u2581");
    wordStartId = wordStart == null ? OptionalLong.empty() : OptionalLong.of(wordStart);
    tokenizer = load(source, json);
  }

  /**
   * Opens a {@code tokenizer.json}, or the one in a model folder.
   *
   * @throws IOException if it is missing or malformed, or if the native library cannot be loaded;
   *     the message says which
   */
  public static HuggingFacePromptTokenizer open(Path fileOrFolder) throws IOException {
    Path file =
        Files.isDirectory(fileOrFolder) ? fileOrFolder.resolve("tokenizer.json") : fileOrFolder;
    if (!Files.isRegularFile(file)) {
      throw new DatasetFormatException(
          file
              + ": no such file, expected a Hugging Face tokenizer.json"
              + (Files.isRegularFile(file.resolveSibling("tokenizer.model"))
                  ? " (a SentencePiece tokenizer.model alone is not enough)"
                  : ""));
    }
    GitLfs.requireContent(file);
    return new HuggingFacePromptTokenizer(file.toString(), Files.readAllBytes(file));
  }

  /** Opens the tokenizer in this jar: about 700 ids, for the nano preset. */
  public static HuggingFacePromptTokenizer embedded() throws IOException {
    try (InputStream resource = HuggingFacePromptTokenizer.class.getResourceAsStream(EMBEDDED)) {
      if (resource == null) {
        throw new IOException("resource " + EMBEDDED + " is missing from the Sightline jar");
      }
      return new HuggingFacePromptTokenizer("embedded " + EMBEDDED, resource.readAllBytes());
    }
  }

  /** Writes the files from which transformers' {@code AutoTokenizer} makes this tokenizer. */
  public void write(Path folder) throws IOException {
    var config = new JsonObject();
    config.addProperty("tokenizer_class", "PreTrainedTokenizerFast");
    config.addProperty("bos_token", BOS);
    config.addProperty("eos_token", EOS);
    if (pad != null) {
      config.addProperty("pad_token", pad);
    }
    AtomicFile.writeText(
        folder.resolve("tokenizer.json"), new String(json, StandardCharsets.UTF_8));
    AtomicFile.writeText(folder.resolve("tokenizer_config.json"), config + "\n");
  }

  /** SHA-256 of its {@code tokenizer.json}. */
  public String digest() {
    MessageDigest digest = Sha256.begin();
    digest.update(json);
    return Sha256.hex(digest);
  }

  @Override
  public long[] encode(String text) {
    long[] ids = tokenizer().encode(text, true, false).getIds();
    if (ids.length > 0 && ids[0] == bosId) {
      return ids;
    }
    // Not every file has a post-processor that adds BOS.
    long[] withBos = new long[ids.length + 1];
    withBos[0] = bosId;
    System.arraycopy(ids, 0, withBos, 1, ids.length);
    return withBos;
  }

  @Override
  public String decode(long[] ids) {
    return tokenizer().decode(ids, true);
  }

  @Override
  public long vocabularySize() {
    return vocabularySize;
  }

  @Override
  public long bosId() {
    return bosId;
  }

  @Override
  public long eosId() {
    return eosId;
  }

  @Override
  public long padId() {
    return padId;
  }

  @Override
  public OptionalLong wordStartId() {
    return wordStartId;
  }

  @Override
  public void close() {
    if (tokenizer != null) {
      tokenizer.close();
      tokenizer = null;
    }
  }

  private HuggingFaceTokenizer tokenizer() {
    if (tokenizer == null) {
      throw new IllegalStateException("tokenizer " + source + " is closed");
    }
    return tokenizer;
  }

  private long require(Map<String, Long> vocabulary, String token, String role)
      throws DatasetFormatException {
    Long id = vocabulary.get(token);
    if (id == null) {
      throw new DatasetFormatException(
          source + ": no token '" + token + "', expected it as " + role + " of a Llama tokenizer");
    }
    return id;
  }

  private static Map<String, Long> vocabulary(String source, byte[] json) throws FormatException {
    JsonFields root = JsonFields.of(Path.of(source), "", new String(json, StandardCharsets.UTF_8));
    JsonFields vocabulary = root.object("model").object("vocab");
    Map<String, Long> ids = new HashMap<>();
    for (String token : vocabulary.keys()) {
      ids.put(token, (long) vocabulary.integer(token));
    }
    if (root.has("added_tokens")) {
      for (JsonFields added : root.objects("added_tokens")) {
        ids.put(added.text("content"), (long) added.integer("id"));
      }
    }
    return ids;
  }

  private static HuggingFaceTokenizer load(String source, byte[] json) throws IOException {
    if (Utils.getEnvOrSystemProperty("DJL_CACHE_DIR") == null) {
      // DJL itself would trust a folder below the one for temporary files, whoever made it.
      setDefault("ENGINE_CACHE_DIR", NativeCache.home().toString());
    }
    try {
      return HuggingFaceTokenizer.newInstance(
          new ByteArrayInputStream(json), Map.of("truncation", "false", "padding", "false"));
    } catch (LinkageError | EngineException | IllegalStateException e) {
      // DJL's own exceptions say that the library could not be found, unpacked or linked.
      throw noLibrary(e);
    } catch (RuntimeException e) {
      throw new DatasetFormatException(
          source + ": rejected by the tokenizers library: " + e.getMessage());
    }
  }

  private static IOException noLibrary(Throwable e) {
    StringBuilder causes = new StringBuilder(String.valueOf(e.getMessage()));
    for (Throwable cause = e.getCause(); cause != null; cause = cause.getCause()) {
      causes.append("; ").append(cause.getMessage());
    }
    return new IOException(
        "the native library of ai.djl.huggingface:tokenizers could not be loaded on "
            + System.getProperty("os.name")
            + " "
            + System.getProperty("os.arch")
            + " from "
            + Utils.getEngineCacheDir("tokenizers")
            + " (which must be writable; -DDJL_CACHE_DIR=... names another folder): "
            + causes,
        e);
  }

  private static void setDefault(String property, String value) {
    if (System.getProperty(property) == null) {
      System.setProperty(property, value);
    }
  }
}
