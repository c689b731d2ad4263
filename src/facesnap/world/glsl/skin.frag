// The baked skin under this picture's make-up, hair and (compiled in with BEARD) beard, with light.
in vec3 v_world;
in vec3 v_normal;
in vec4 v_rest;
in float v_scalp;
in vec2 v_atlas;
uniform sampler2D u_albedo;
uniform sampler2D u_relief;
uniform sampler2D u_mask_a;    // lip distance, brow across, brow along, beard
uniform sampler2D u_mask_b;    // wrinkles, eye bags, blush, moustache
uniform vec4 u_lipstick;       // colour, amount
uniform vec4 u_eyeshadow;
uniform vec3 u_hair;
uniform float u_scalp_cover;   // undercoat of hair: 0 bald .. 1
uniform vec3 u_beard;          // colour
uniform vec2 u_beard_cover;    // beard, moustache density
uniform float u_darkness;      // 0 pale .. 1 dark
out vec4 f_colour;

void main() {
    vec3 rest = v_rest.xyz;
    vec4 baked = texture(u_albedo, v_atlas);
    vec4 relief = texture(u_relief, v_atlas);
    vec3 skin = baked.rgb * baked.rgb;
    float gloss = baked.a;
    float shade = sqrt(dot(skin, vec3(0.33)));
    float lip = relief.b * u_lipstick.a;
    skin = mix(skin, u_lipstick.rgb * (0.35 + 0.9 * shade), lip);
    gloss = mix(gloss, 1.0, lip);
    skin = mix(skin, u_eyeshadow.rgb * (0.4 + 0.6 * shade), relief.a * u_eyeshadow.a * smoothstep(2.9, 3.9, rest.y));
#ifdef BEARD
    vec2 uv = vec2((rest.x + 10.0) / 20.0, (rest.y + 14.0) / 28.0);
    vec4 a = texture(u_mask_a, uv), b = texture(u_mask_b, uv), fine = texture(u_noise, rest * 0.35);
    float beard = max(a.a * u_beard_cover.x, b.a * u_beard_cover.y) * smoothstep(-1.0, 2.0, rest.z);
    beard *= smoothstep(0.05, 0.3, a.r + 0.25 * (fine.g - 0.5)) * (0.75 + 0.5 * texture(u_noise, rest * 1.1).g);
    skin = mix(skin, u_beard, clamp(beard, 0.0, 0.96));
    gloss *= 1.0 - beard * 0.8;
#endif
    if (v_scalp > -0.8 && u_scalp_cover > 0.0) {
        float hair = smoothstep(0.0, 1.0, v_scalp + 1.4 * (texture(u_noise, rest * 0.35).b - 0.5)) * u_scalp_cover;
        skin = mix(skin, u_hair * (0.55 + 0.5 * texture(u_noise, rest * 1.1).g), hair);
        gloss *= 1.0 - hair * 0.8;
    }

    vec3 smooth_normal = normalize(v_normal);
    vec3 slope = u_head * vec3((relief.rg - 0.5) / 1.2, 0.0);
    vec3 n = normalize(smooth_normal - 1.0 * (slope - smooth_normal * dot(slope, smooth_normal)));
    if (!gl_FrontFacing) { n = -n; smooth_normal = -smooth_normal; }
    vec3 v = to_camera(v_world);
    f_colour = developed(lit_skin(skin, v_world, n, smooth_normal, v, v_rest.w, gloss, u_darkness), u_class);
}
