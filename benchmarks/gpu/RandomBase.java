import java.nio.file.Path;
import org.sightline.DType;
import org.sightline.Device;
import org.sightline.Sightline;
import org.sightline.vla.checkpoint.HuggingFaceCheckpoint;
import org.sightline.vla.model.OpenVlaConfig;
import org.sightline.vla.model.Weights;

/** Writes a base model of random weights, drawn on a device: PRESET DEVICE FOLDER. */
public class RandomBase {
  public static void main(String[] arguments) throws Exception {
    Sightline.load();
    OpenVlaConfig config = OpenVlaConfig.ofPreset(arguments[0]);
    Weights weights = Weights.random(config, 7, Device.of(arguments[1]));
    HuggingFaceCheckpoint.write(
        Path.of(arguments[2]), config, weights, DType.BFLOAT16, 5_000_000_000L);
  }
}
